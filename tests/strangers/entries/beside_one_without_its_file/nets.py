# kind: the network that scripts call reads a file that the repository does not bring
# images: colour 16
# expect: error: nets.py also holds Read, which needs trained, and raises FileNotFoundError:
from torch import nn


class Read(nn.Module):
    def __init__(self, classCount, trained):
        super().__init__()
        with open("h.mat") as file:
            width = int(file.read())
        self.conv = nn.Conv2d(3, width, 3)
        self.fc = nn.Linear(width, classCount)

    def forward(self, x):
        return self.fc(self.conv(x).relu().mean((2, 3)))


class Other(nn.Module):
    def __init__(self, classCount, trained):
        super().__init__()
        self.conv = nn.Conv2d(3, 16, 3)
        self.fc = nn.Linear(16, classCount)

    def forward(self, x):
        return self.fc(self.conv(x).relu().mean((2, 3)))
