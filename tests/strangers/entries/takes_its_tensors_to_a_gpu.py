# kind: it takes tensors of its own to a GPU, unless a switch is off
# expect: trains
# expect: entry: Scored
import torch
from torch import nn


class Scored(nn.Module):
    def __init__(self, num_classes=10, use_cuda=True):
        super().__init__()
        self.fc, self.use_cuda = nn.Linear(64, num_classes), use_cuda

    def forward(self, x):
        scale = torch.ones(1)
        if self.use_cuda:
            scale = scale.cuda()
        return self.fc(x.flatten(1)) * scale
