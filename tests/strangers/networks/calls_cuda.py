# kind: a GPU that is not here
# needs: no GPU
# expect: error: calls_cuda.py, line HERE
# expect: error: write .to(x.device)
from torch import nn


class Net(nn.Module):
    def __init__(self, num_classes=2):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.pool = nn.AdaptiveAvgPool2d(2)
        self.fc = nn.Linear(16, num_classes)

    def forward(self, x):
        return self.fc(self.pool(self.conv(x.cuda())).flatten(1))  # here
