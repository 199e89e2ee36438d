# kind: what a network needs
# expect: typed: --entry WideNet --model-arg depth=20
from torch import nn


class WideNet(nn.Module):
    def __init__(self, depth=34, num_classes=10):
        super().__init__()
        assert (depth - 2) % 6 == 0
        self.layers = nn.Sequential(nn.Conv2d(1, 4, 3), *(nn.Conv2d(4, 4, 3, padding=1) for _ in range(depth // 6)))
        self.fc = nn.Linear(4, num_classes)

    def forward(self, x):
        return self.fc(self.layers(x).mean((2, 3)))
