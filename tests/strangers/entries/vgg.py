# kind: a word chooses
# images: colour 16
# expect: typed: --entry VGG --model-arg vgg_name=VGG7 --replace-head
import torch
import torch.nn as nn

cfg = {
    "VGG7": [4, "M", 8, "M", 8, "M", 8, "M"],
    "VGG11": [4, 4, "M", 8, 8, "M", 8, 8, "M", 8, "M"],
}


class VGG(nn.Module):
    def __init__(self, vgg_name):
        super(VGG, self).__init__()
        self.features = self._make_layers(cfg[vgg_name])
        self.classifier = nn.Linear(8, 10)

    def forward(self, x):
        out = self.features(x)
        out = out.view(out.size(0), -1)
        return self.classifier(out)

    def _make_layers(self, cfg):
        layers = []
        in_channels = 3
        for x in cfg:
            if x == "M":
                layers += [nn.MaxPool2d(kernel_size=2, stride=2)]
            else:
                layers += [nn.Conv2d(in_channels, x, kernel_size=3, padding=1), nn.BatchNorm2d(x), nn.ReLU(inplace=True)]
                in_channels = x
        return nn.Sequential(*layers)


def test():
    net = VGG("VGG7")
    print(net(torch.randn(2, 3, 16, 16)).size())


# test()
