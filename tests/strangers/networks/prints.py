# kind: prints
# expect: trains
# expect: says: what the model prints at every call is not shown (prints.py, line HERE)
# expect: silent: going in
from torch import nn


class Net(nn.Module):
    def __init__(self, num_classes=2):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.pool = nn.AdaptiveAvgPool2d(2)
        self.fc = nn.Linear(16, num_classes)

    def forward(self, x):
        print("going in", x.shape)  # here
        return self.fc(self.pool(self.conv(x)).flatten(1))
