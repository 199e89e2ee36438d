# kind: a script without main
# images: colour 16
# expect: trains
# expect: entry: SmallNet
# expect: says: is a script: when it is imported, it downloads data (script_from_top_to_bottom.py, line HERE)
# expect: says: no other line of it was run
import torch
import torch.nn as nn
import torch.optim as optim
from torchvision import datasets, transforms

WIDTH = 4
CLASSES = ("cat", "dog")
device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
train_set = datasets.CIFAR10("./nowhere", download=True, transform=transforms.ToTensor())  # here
steps = len(train_set) // 64


def scaled(x):
    return x * torch.ones(1, device=device) / WIDTH


class SmallNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, WIDTH, 3)
        self.fc = nn.Linear(WIDTH, len(CLASSES))

    def forward(self, x):
        return self.fc(scaled(self.conv(x)).relu().mean((2, 3)))


net = SmallNet().to(device)
optimizer = optim.SGD(net.parameters(), lr=0.1)
for epoch in range(1000):
    for x, y in torch.utils.data.DataLoader(train_set, batch_size=64):
        nn.functional.cross_entropy(net(x.to(device)), y.to(device)).backward()
        optimizer.step()
raise SystemExit("the script was run")
