# kind: spellings
# images: colour 16
# needs: slow
# expect: trains
# expect: entry: Net
import torch
import torch.nn as nn


class Net(nn.Module):
    def __init__(self, inchannels, class_num):
        super().__init__()
        self.conv = nn.Conv2d(inchannels, 4, 3, padding=1)
        self.pool = nn.AdaptiveAvgPool2d(2)
        self.fc = nn.Linear(16, class_num)

    def forward(self, x):
        return self.fc(self.pool(torch.relu(self.conv(x))).flatten(1))
