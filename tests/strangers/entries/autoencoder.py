# kind: no classifier
# images: colour 16
# expect: error: a tensor of shape (2, 3, 16, 16)
import torch.nn as nn


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)

    def forward(self, x):
        return self.conv(x)


class AutoEncoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = Encoder()
        self.decoder = nn.Conv2d(4, 3, 3, padding=1)

    def forward(self, x):
        return self.decoder(self.encoder(x))
