# kind: another size of images
# expect: error: fixed_size.py, line HERE
# expect: error: It takes images of 1 channel and 224 x 224. Pass --image-size 224.
from torch import nn


class Net(nn.Module):
    def __init__(self, num_classes=2):
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 16, stride=16)
        self.fc = nn.Linear(2 * 14 * 14, num_classes)

    def forward(self, x):
        return self.fc(self.conv(x).flatten(1))  # here
