# kind: no logits
# train: --replace-head
# expect: trains
# expect: says: a linear layer is put behind the model's 16 features
from torch import nn


class Net(nn.Module):
    def __init__(self, num_classes=2):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.pool = nn.AdaptiveAvgPool2d(2)
        self.fc = nn.Linear(16, num_classes)

    def forward(self, x):
        return self.pool(self.conv(x)).flatten(1)
