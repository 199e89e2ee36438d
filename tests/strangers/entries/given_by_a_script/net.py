# kind: what a script beside it gives, by name: a class of another file, and a network of torchvision
# expect: typed: --entry Net --model-arg block=blocks.Wide --model-arg 'body=torchvision.models.squeezenet1_1()' --model-arg width=5
from torch import nn


class Plain(nn.Module):
    def __init__(self, width):
        super().__init__()
        raise RuntimeError("not the one that is meant")


class Net(nn.Module):
    def __init__(self, block, body, width, num_classes=10):
        super().__init__()
        self.block = block(width)
        self.body = body
        self.fc = nn.Linear(1000, num_classes)

    def forward(self, x):
        return self.fc(self.body(self.block(x).expand(-1, 3, 32, 32)))
