# kind: objects of its own
# expect: trains
import threading

from torch import nn


class Net(nn.Module):
    def __init__(self, num_classes=2):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.pool = nn.AdaptiveAvgPool2d(2)
        self.fc = nn.Linear(16, num_classes)
        self.lock = threading.Lock()

    def forward(self, x):
        with self.lock:
            return self.fc(self.pool(self.conv(x)).flatten(1))
