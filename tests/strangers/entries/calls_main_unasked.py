# kind: a script without main
# images: colour 16
# expect: trains
# expect: entry: Net
# expect: says: is a script: when it is imported, it trains a network (calls_main_unasked.py, line HERE)
import torch
import torch.nn as nn


class Net(nn.Module):
    def __init__(self, num_classes=10):
        super().__init__()
        self.fc = nn.Linear(3, num_classes)

    def forward(self, x):
        return self.fc(x.mean((2, 3)))


def train(net):
    net(torch.rand(2, 3, 4, 4)).sum().backward()
    raise SystemExit("it was trained")


def main():
    train(Net())


main()  # here
