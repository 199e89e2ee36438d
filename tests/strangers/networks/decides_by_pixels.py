# kind: export
# needs: long
# expect: trains
# expect: fails: its code decides by values of the images (decides_by_pixels.py, line HERE
# expect: fails: Write the choice with torch.where
from torch import nn
from torch.nn import functional as F


class Net(nn.Module):
    def __init__(self, num_classes=2):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.fc = nn.Linear(36, num_classes)

    def forward(self, x):
        x = F.adaptive_avg_pool2d(self.conv(x), 3).flatten(1)
        if x.mean() > 0.3:  # here
            x = x * 2
        return self.fc(x)
