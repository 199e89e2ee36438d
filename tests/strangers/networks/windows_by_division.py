# kind: export
# needs: long
# expect: trains
# expect: exports: any
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, num_classes=2):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.fc = nn.Linear(36, num_classes)

    def forward(self, x):
        x = torch.roll(self.conv(x), (-2, -2), (2, 3)).permute(0, 2, 3, 1)
        b, h, w, c = x.shape
        windows = x.reshape(b, h // 4, 4, w // 4, 4, c).permute(0, 1, 3, 2, 4, 5).reshape(-1, 4, 4, c)
        b = int(windows.shape[0] / (h * w / 4 / 4))
        x = windows.view(b, h // 4, w // 4, 4, 4, -1).permute(0, 1, 3, 2, 4, 5).reshape(b, h, w, -1)
        x = torch.roll(x, (2, 2), (1, 2)).permute(0, 3, 1, 2)
        return self.fc(nn.functional.adaptive_avg_pool2d(x, 3).flatten(1))
