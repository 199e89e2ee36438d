# kind: a package that draws or counts the network, and is not installed; a long print
# images: colour 16
# expect: trains
# expect: entry: Net
# expect: says: torchviz is not installed: what is called of it does nothing
# expect: says: … 7 more lines that the model file prints
# expect: silent: line 5
from torch import nn
from torchviz.dot import make_dot


class Net(nn.Module):
    def __init__(self, num_classes=10):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.fc = nn.Linear(4, num_classes)

    def forward(self, x):
        return self.fc(self.conv(x).relu().mean((2, 3)))


make_dot(Net(), params=None)
for place in range(12):
    print("line", place)
