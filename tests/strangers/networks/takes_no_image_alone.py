# kind: one image
# needs: long
# expect: trains
# expect: says: the model takes no image alone, since .squeeze() (takes_no_image_alone.py, line HERE) takes away a batch
# expect: exports: any
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, num_classes=2):
        super().__init__()
        self.branches = nn.ModuleList(nn.Conv2d(1, 4, size, padding=size // 2) for size in (3, 5))
        self.squeezed = nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4))
        self.choose = nn.ModuleList(nn.Linear(4, 4) for _ in self.branches)
        self.fc = nn.Linear(4, num_classes)

    def forward(self, x):
        maps = torch.stack([branch(x) for branch in self.branches], dim=1)
        parts = self.squeezed(maps.sum(1).mean((2, 3), keepdim=True)).squeeze()  # here
        shares = torch.cat([choose(parts).unsqueeze(dim=1) for choose in self.choose], dim=1).softmax(1)
        return self.fc((maps * shares[..., None, None]).sum(1).mean((2, 3)))
