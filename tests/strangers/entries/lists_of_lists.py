# kind: settings that are lists of lists, as the file's own main part has them
# expect: typed: --entry Net --model-arg 'cfg=[[1, 4, 1, 1], [2, 6, 2, 2]]'
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, cfg, num_classes=10):
        super().__init__()
        layers, channels = [], 1
        for times, out, count, stride in cfg:
            for place in range(count):
                layers += [nn.Conv2d(channels, out * times, 3, stride if place == 0 else 1, 1), nn.ReLU()]
                channels = out * times
        self.features = nn.Sequential(*layers)
        self.fc = nn.Linear(channels, num_classes)

    def forward(self, x):
        return self.fc(self.features(x).mean((2, 3)))


if __name__ == "__main__":
    net = Net(cfg=[[1, 4, 1, 1], [2, 6, 2, 2]])
    print(net(torch.rand(2, 1, 8, 8)).shape)
