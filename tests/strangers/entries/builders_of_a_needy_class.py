# kind: builders that hand a list on by their keywords
# images: colour 16
# expect: typed: --entry deep1 --model-arg 'stage_sizes=[2, 2, 2, 2]'
# expect: entry: deep1
from torch import nn


class Deep(nn.Module):
    def __init__(self, width, stage_sizes, n_classes):
        super().__init__()
        assert len(stage_sizes) == 4
        self.layers = nn.Sequential(*[nn.Conv2d(3, 3, 1) for size in stage_sizes for _ in range(size)])
        self.out = nn.Linear(3 * width, n_classes)

    def forward(self, x):
        x = self.layers(x).mean((2, 3))
        return self.out(x.repeat(1, self.out.in_features // 3))


def deep1(**kwargs):
    return Deep(1, **kwargs)


def deep2(**kwargs):
    return Deep(2, **kwargs)
