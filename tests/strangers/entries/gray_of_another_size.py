# kind: entry
# images: colour 16
# expect: typed: --image-size 28 --replace-head
# expect: entry: Net300
import torch.nn as nn
import torch.nn.functional as F


class Net300(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(784, 30)
        self.fc2 = nn.Linear(30, 10)

    def forward(self, x):
        x = x.view(-1, 784)
        return self.fc2(F.relu(self.fc1(x)))


class Net5(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = Linear(784, 30)  # noqa: F821

    def forward(self, x):
        return self.fc1(x.view(-1, 784))
