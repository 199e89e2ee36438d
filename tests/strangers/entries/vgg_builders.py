# kind: several builders, private parts
# images: colour 16
# expect: typed: --entry vgg7
import torch.nn as nn

cfgs = {"A": [4, "M", 8, "M"], "B": [4, 4, "M", 8, 8, "M"]}


class VGG(nn.Module):
    def __init__(self, features, num_class=100):
        super().__init__()
        self.features = features
        self.classifier = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, num_class))

    def forward(self, x):
        return self.classifier(self.features(x))


def make_layers(cfg, batch_norm=False):
    layers = []
    width = 3
    for one in cfg:
        if one == "M":
            layers += [nn.MaxPool2d(2)]
            continue
        layers += [nn.Conv2d(width, one, 3, padding=1)]
        if batch_norm:
            layers += [nn.BatchNorm2d(one)]
        layers += [nn.ReLU(inplace=True)]
        width = one
    return nn.Sequential(*layers)


def vgg7(num_class=100):
    return VGG(make_layers(cfgs["A"]), num_class)


def vgg7_bn(num_class=100):
    return VGG(make_layers(cfgs["A"], batch_norm=True), num_class)
