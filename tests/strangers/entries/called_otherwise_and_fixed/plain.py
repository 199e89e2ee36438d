# kind: what scripts build with another depth has a fixed number of outputs, so the line gives both
# images: colour 16
# expect: typed: --model-arg layers=3 --replace-head
# expect: entry: Plain
from torch import nn


class Plain(nn.Module):
    def __init__(self, layers=1):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)
        self.more = nn.Sequential(*[nn.Conv2d(8, 8, 1) for _ in range(layers)])
        self.fc = nn.Linear(8, 10)

    def forward(self, x):
        return self.fc(self.more(self.conv(x).relu()).relu().mean((2, 3)))
