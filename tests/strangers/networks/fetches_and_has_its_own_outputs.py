# kind: weights that its own code fetches, and outputs that are written in
# images: colour 16
# expect: typed: --no-pretrained --replace-head
# expect: says: weights that its code would fetch were not fetched: scenes.pth
import torch
import torch.nn as nn


class Scenes(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.fc = nn.Linear(4, 30)
        self.load_state_dict(torch.hub.load_state_dict_from_url("http://weights.invalid/scenes.pth"))

    def forward(self, x):
        return self.fc(self.conv(x).relu().mean((2, 3)))
