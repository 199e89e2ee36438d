# kind: an object of settings
# expect: typed: --entry Net --model-arg 'args={stages: [2, 2, 2, 2], growth: [8, 16, 32, 64], num_classes: 2}'
from torch import nn


class Net(nn.Module):
    def __init__(self, args):
        super().__init__()
        self.stages = args.stages
        self.growth = args.growth
        self.args = args
        assert len(self.stages) == len(self.growth)
        layers, width = [], 1
        for place in range(len(self.stages)):
            for _ in range(self.stages[place]):
                layers.append(nn.Conv2d(width, width + self.growth[place], 3, padding=1))
                width += self.growth[place]
        self.features = nn.Sequential(*layers)
        self.fc = nn.Linear(width, args.num_classes)

    def forward(self, x):
        return self.fc(self.features(x).mean((2, 3)))
