# kind: what could be logits is a choice among classes, and the scores are vectors
# images: colour 16
# expect: error: carries no gradient
# expect: error: vectors.norm(dim=2)
import torch
from torch import nn


class CapsNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.capsules = nn.Conv2d(3, 2 * 4, 3, stride=2)
        self.decoder = nn.Linear(2 * 4, 12)

    def forward(self, x):
        vectors = self.capsules(x).mean((2, 3)).view(len(x), 2, 4, 1)
        chosen = torch.eye(2).index_select(0, (vectors**2).sum(2).argmax(1).squeeze(1))
        masked = (vectors * chosen[:, :, None, None]).view(len(x), -1)
        return vectors, self.decoder(masked).view(-1, 3, 2, 2), chosen
