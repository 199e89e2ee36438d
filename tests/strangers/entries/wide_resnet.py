# kind: required numbers
# images: colour 16
# expect: typed: --entry WideResNet --model-arg depth=28 --model-arg widen_factor=10 --model-arg dropout_rate=0.3
import torch
import torch.nn as nn


def conv3x3(in_planes, out_planes, stride=1):
    return nn.Conv2d(in_planes, out_planes, kernel_size=3, stride=stride, padding=1, bias=True)


class wide_basic(nn.Module):
    def __init__(self, in_planes, planes, dropout_rate, stride=1):
        super().__init__()
        self.conv1 = conv3x3(in_planes, planes, stride)
        self.dropout = nn.Dropout(p=dropout_rate)
        self.shortcut = nn.Conv2d(in_planes, planes, 1, stride=stride)

    def forward(self, x):
        return torch.relu(self.dropout(self.conv1(x)) + self.shortcut(x))


class WideResNet(nn.Module):
    def __init__(self, depth, widen_factor, dropout_rate, num_classes):
        super().__init__()
        assert (depth - 4) % 6 == 0, "Wide-resnet depth should be 6n+4"
        n = (depth - 4) // 6
        width = widen_factor
        self.conv1 = conv3x3(3, width)
        self.layers = nn.Sequential(*[wide_basic(width, width, dropout_rate) for _ in range(n)])
        self.linear = nn.Linear(width, num_classes)

    def forward(self, x):
        return self.linear(self.layers(self.conv1(x)).mean((2, 3)))
