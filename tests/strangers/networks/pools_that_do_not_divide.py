# kind: export
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
        x = self.conv(x)
        x = F.adaptive_max_pool2d(x, (5, 3)) + F.adaptive_max_pool2d(x, (5, 3), return_indices=True)[0]
        x = F.adaptive_max_pool1d(x.flatten(2), 11) - F.adaptive_avg_pool1d(x.flatten(2), 11)
        return self.fc(x.flatten(1)[:, :36])
