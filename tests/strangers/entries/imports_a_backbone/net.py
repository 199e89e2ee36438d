# kind: a class that cannot be built for one image, beside a backbone that is imported
# images: colour 16
# expect: error: Net in
# expect: error: missing 1 required positional argument: 'second'
# expect: error: give what else forward takes a default
# expect: silent: entry: backbone
from backbone_of_mine import *  # noqa: F403
from torch import nn


class Net(nn.Module):
    def __init__(self, arch, n_classes):
        super().__init__()
        assert arch in ("backbone", "another")
        self.body = eval(arch)()
        self.fc = nn.Linear(4, n_classes)

    def forward(self, first, second):
        return self.fc(self.body(first) + self.body(second))
