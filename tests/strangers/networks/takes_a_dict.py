# kind: another signature of forward
# expect: error: Hardener calls the model with a tensor of images, not with a dict
# expect: error: takes_a_dict.py, line HERE
from torch import nn


class Net(nn.Module):
    def __init__(self, num_classes=2):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.pool = nn.AdaptiveAvgPool2d(2)
        self.fc = nn.Linear(16, num_classes)

    def forward(self, batch):
        x = batch["image"]  # here
        return self.fc(self.pool(self.conv(x)).flatten(1))
