# kind: a script that trains and measures when it is imported
# images: colour 16
# expect: trains
# expect: says: is a script: when it is imported, it opens its data (script_that_measures.py, line HERE)
from torch import nn
from torch.utils.data import DataLoader
from torchvision import datasets


class SmallNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3, 2)

    def forward(self, x):
        return self.fc(x.mean((2, 3)))


model = SmallNet()
loader = DataLoader(datasets.CIFAR10("./nowhere", download=True))  # here
right = 0
total = 0
for images, labels in loader:
    right += (model(images).argmax(1) == labels).sum().item()
    total += len(labels)
accuracy = 100.0 * right / total
