# kind: a table of configurations, by name; a script chooses one by default
# expect: typed: --entry Net --model-arg config=configs.CONFIGS.middle-2
import configs
from torch import nn


class Net(nn.Module):
    def __init__(self, config, num_classes=10):
        super().__init__()
        assert config.width < 10, 'changed by another network'
        self.convs = nn.ModuleList(nn.Conv2d(1, config.width, 3) for _ in range(config.transformer["depth"]))
        config.width = 2 * config.width
        self.fc = nn.Linear(config.width // 2, num_classes)

    def forward(self, x):
        return self.fc(self.convs[0](x).relu().mean((2, 3)))


