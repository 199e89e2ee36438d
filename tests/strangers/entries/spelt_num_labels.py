# kind: spellings
# images: colour 16
# expect: trains
# expect: entry: Net
import torch
import torch.nn as nn


class Net(nn.Module):
    def __init__(self, num_channels, num_labels):
        super().__init__()
        self.conv = nn.Conv2d(num_channels, 4, 3, padding=1)
        self.pool = nn.AdaptiveAvgPool2d(2)
        self.fc = nn.Linear(16, num_labels)

    def forward(self, x):
        return self.fc(self.pool(torch.relu(self.conv(x))).flatten(1))
