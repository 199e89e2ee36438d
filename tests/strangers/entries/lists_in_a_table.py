# kind: lists of layers in a table, given as they are
# images: colour 16
# expect: typed: --entry VGG --model-arg layers=CFG.A
from torch import nn

CFG = {"D": [8, 8, "M", 16, "M"], "A": [4, "M", 8, "M"]}


class VGG(nn.Module):
    def __init__(self, layers, num_classes=10):
        super().__init__()
        parts, width = [], 3
        for one in layers:
            if one == "M":
                parts.append(nn.MaxPool2d(2))
            else:
                parts += [nn.Conv2d(width, one, 3, padding=1), nn.ReLU()]
                width = one
        self.features = nn.Sequential(*parts)
        self.fc = nn.Linear(width, num_classes)

    def forward(self, x):
        return self.fc(self.features(x).mean((2, 3)))
