# kind: export
# needs: long
# expect: trains
# expect: exports: any
from torch import nn
from torch.nn import functional as F


class Net(nn.Module):
    def __init__(self, num_classes=2):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.fc = nn.Linear(36, num_classes)

    def forward(self, x):
        x = F.adaptive_avg_pool2d(self.conv(x), 3)
        if len(x) % 2 == 0:  # code that depends on the number of images
            x = x.reshape(len(x) // 2, 2, -1).reshape(len(x), -1)
        return self.fc(x.reshape(-1, 36))
