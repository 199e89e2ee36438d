# kind: a block that another library defines, and a head that is off by default
# images: colour 16
# expect: typed: --entry Net --model-arg block=BasicBlock --model-arg 'layers=[2, 2, 2, 2]'
from torch import nn
from torchvision.models.resnet import BasicBlock


class Net(nn.Module):
    def __init__(self, block, layers, use_fc=False, num_classes=1000):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, 2, 1)
        self.stages = nn.Sequential(*(block(4 * block.expansion, 4) for _ in range(layers[0] + layers[3])))
        self.fc = nn.Linear(4, num_classes)
        self.use_fc = use_fc

    def forward(self, x):
        features = self.stages(self.stem(x)).mean((2, 3))
        return self.fc(features) if self.use_fc else features
