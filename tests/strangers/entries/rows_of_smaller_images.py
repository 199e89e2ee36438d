# kind: built for smaller images, whose rows it counts otherwise
# images: colour 16
# train: --image-size 64
# expect: typed: --image-size 32 --replace-head
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 5, padding=2)
        self.fc = nn.Linear(2 * 16 * 16, 10)

    def forward(self, x):
        x = nn.functional.max_pool2d(self.conv(x).relu(), 2)
        x = x.view(-1, 2 * 16 * 16)
        return self.fc(x)
