# kind: an object whose methods make the layers
# expect: typed: --entry Net --model-arg 'builder=Builder()'
from torch import nn


class Half:
    def conv(self, inputs, outputs):
        return nn.Conv2d(inputs, outputs, 1)


class Builder(Half):
    def norm(self, width):
        return nn.BatchNorm2d(width)


class Block(nn.Module):
    def __init__(self, builder, width):
        super().__init__()
        self.conv = builder.conv(width, width)
        self.norm = builder.norm(width)

    def forward(self, x):
        return self.norm(self.conv(x)).relu()


class Net(nn.Module):
    def __init__(self, builder, num_classes=10):
        super().__init__()
        self.stem = builder.conv(1, 4)
        self.block = Block(builder, 4)
        self.fc = nn.Linear(4, num_classes)

    def forward(self, x):
        return self.fc(self.block(self.stem(x)).mean((2, 3)))
