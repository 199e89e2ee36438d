# kind: it takes other images alone, and there a choice is what could be logits
# images: colour 16
# expect: error: and 28 x 28. But there what the model returns as (N, K) carries no gradient
# expect: silent: Type:
import torch
from torch import nn


class CapsNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.capsules = nn.Conv2d(3, 2, 3, stride=2)
        self.vectors = nn.Linear(2 * 13 * 13, 2 * 4)

    def forward(self, x):
        vectors = self.vectors(self.capsules(x).flatten(1)).view(len(x), 2, 4, 1)
        return vectors, torch.eye(2).index_select(0, (vectors**2).sum(2).argmax(1).squeeze(1))
