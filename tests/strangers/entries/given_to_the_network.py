# kind: a block that a script gives to the network; the number of classes is written in
# images: colour 16
# expect: typed: --entry Net --model-arg block=Block --model-arg 'blocks=[1, 1]' --replace-head
# expect: entry: Net
from torch import nn


class Block(nn.Module):
    def __init__(self, inside, outside, stride=2):
        super().__init__()
        self.conv = nn.Conv2d(inside, outside, 3, stride, 1)
        self.beside = nn.Conv2d(inside, outside, 1, stride)

    def forward(self, x):
        return self.conv(x).relu() + self.beside(x)


class Net(nn.Module):
    def __init__(self, block, blocks):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.first = nn.Sequential(*[block(4, 4, 1) for _ in range(blocks[0])])
        self.second = nn.Sequential(block(4, 8), *[block(8, 8, 1) for _ in range(blocks[1] - 1)])
        self.fc = nn.Linear(8, 11)

    def forward(self, x):
        return self.fc(self.second(self.first(self.stem(x))).mean((2, 3)))


if __name__ == "__main__":
    net = Net(Block, blocks=[1, 1])
