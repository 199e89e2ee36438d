# kind: weights that its own code fetches
# images: colour 16
# expect: typed: --no-pretrained
# expect: says: weights that its code would fetch were not fetched: four.pth
import torch
import torch.nn as nn


class Backbone(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        weights = torch.hub.load_state_dict_from_url("http://weights.invalid/four.pth")
        del weights["fc.weight"]
        self.load_state_dict(dict(weights.items()))

    def forward(self, x):
        return self.conv(x).relu().mean((2, 3))


class Classifier(nn.Module):
    def __init__(self, num_classes=10):
        super().__init__()
        self.backbone = Backbone()
        self.fc = nn.Linear(4, num_classes)

    def forward(self, x):
        return self.fc(self.backbone(x))
