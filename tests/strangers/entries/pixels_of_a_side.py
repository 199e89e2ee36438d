# kind: a side that is no count of pixels: a loop over all pairs of them would not end
# images: colour 16
# expect: trains
# expect: entry: small
from torch import nn


class Net(nn.Module):
    def __init__(self, img_size=224, widths=(), num_classes=10):
        super().__init__()
        pairs = {(a, b) for a in range(img_size) for b in range(img_size)}
        self.first = nn.Conv2d(3, widths[0], 3)
        self.out = nn.Linear(widths[0], min(num_classes, len(pairs)))

    def forward(self, x):
        return self.out(self.first(x).mean((2, 3)))


def small(**kwargs):
    return Net(widths=(4,), **kwargs)
