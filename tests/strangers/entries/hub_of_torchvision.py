# kind: asks torch.hub for a network of torchvision, which is installed
# images: colour 16
# expect: trains
# expect: says: networks of torch.hub's pytorch/vision are those of the torchvision that is installed
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, num_classes=120, version="shufflenet_v2_x0_5", pretrained=True):
        super().__init__()
        self.backbone = torch.hub.load("pytorch/vision:v0.6.0", version, pretrained=pretrained)
        self.backbone.fc = nn.Linear(self.backbone.fc.in_features, num_classes)

    def forward(self, x):
        return self.backbone(x)
