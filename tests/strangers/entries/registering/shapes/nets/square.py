# kind: a package that imports itself by its name
# images: colour 16
# expect: trains
# expect: entry: Square
import torch.nn as nn
from shapes.nets.registry import register


@register
class Square(nn.Module):
    def __init__(self, num_classes=10):
        super().__init__()
        self.fc = nn.Linear(3, num_classes)

    def forward(self, x):
        return self.fc(x.mean((2, 3)))
