import torch
import torch.nn as nn

from blocks_of_mine import WIDTH, ConvBlock


class Net(nn.Module):
    def __init__(self, num_classes=10):
        super().__init__()
        self.block = ConvBlock(3, WIDTH)
        self.fc = nn.Linear(WIDTH, num_classes)

    def forward(self, x):
        return self.fc(self.block(x).mean((2, 3)))


def small_net(num_classes=10):
    return Net(num_classes)
