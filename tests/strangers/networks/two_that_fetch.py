# kind: weights that its own code fetches
# images: colour 16
# expect: typed: --entry shallow --no-pretrained --replace-head
# expect: says: weights that its code would fetch were not fetched: four.pth
import torch
import torch.nn as nn


class Net(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, width, 3), nn.Linear(width, 9)
        self.load_state_dict(torch.hub.load_state_dict_from_url("http://weights.invalid/four.pth"))

    def forward(self, x):
        return self.fc(self.conv(x).relu().mean((2, 3)))


def shallow():
    return Net(4)


def wide():
    return Net(8)
