from torch import nn


class Small(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.conv = nn.Conv2d(3, 9, 3)
        self.fc = nn.Linear(9, num_classes)

    def forward(self, x):
        return self.fc(self.conv(x).relu().mean((2, 3)))


def small(num_classes=10):
    return Small(num_classes)
