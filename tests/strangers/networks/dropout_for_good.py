# kind: random in eval mode
# expect: trains
# expect: says: answers differently when it is asked twice in eval mode
# expect: says: dropout_for_good.py, line HERE
# expect: fails: answers differently when it is asked twice in eval mode
import torch.nn.functional as F
from torch import nn


class Net(nn.Module):
    def __init__(self, num_classes=2):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.pool = nn.AdaptiveAvgPool2d(2)
        self.fc = nn.Linear(16, num_classes)

    def forward(self, x):
        return self.fc(F.dropout(self.pool(self.conv(x)).flatten(1)))  # here
