from torch import nn


class Net(nn.Module):
    def __init__(self, num_classes, width=8):
        super().__init__()
        self.conv = nn.Conv2d(3, width, 3)
        self.fc = nn.Linear(width, num_classes)

    def forward(self, x):
        return self.fc(self.conv(x).relu().mean((2, 3)))


class Margin(nn.Module):
    def __init__(self, num_classes, backbone, margin=0.1):
        super().__init__()
        self.net = backbone(num_classes)
        self.margin = margin

    def forward(self, x):
        return self.net(x) - self.margin
