# kind: the name of another library's builder
# images: colour 16
# needs: long
# expect: typed: --entry Net --model-arg arch=resnet18
import torchvision.models as models
from torch import nn


class Net(nn.Module):
    def __init__(self, arch, num_classes):
        super().__init__()
        self.body = getattr(models, arch)(weights=None)
        self.head = nn.Linear(1000, num_classes)

    def forward(self, x):
        return self.head(self.body(x))
