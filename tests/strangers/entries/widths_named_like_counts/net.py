# kind: a width bears the name of a count; its script tells most of what it needs
# expect: typed: --entry Capsules --model-arg channels=6 --model-arg out_dim=4 --model-arg routes=4
# expect: entry: Capsules
from torch import nn


class Capsules(nn.Module):
    def __init__(self, channels, num_classes, out_dim, routes):
        super().__init__()
        assert channels == 6, routes
        self.conv, self.fc = nn.Conv2d(1, channels, 3), nn.Linear(channels, num_classes * out_dim)
        self.num_classes = num_classes

    def forward(self, x):
        return self.fc(self.conv(x).mean((2, 3))).view(len(x), self.num_classes, -1).norm(dim=2)
