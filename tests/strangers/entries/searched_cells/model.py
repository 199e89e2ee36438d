# kind: arguments
# expect: typed: --entry NetworkCIFAR --model-arg genotype=genotypes.CELLS_CIFAR --model-arg self.drop_path_prob=0.0
# expect: entry: NetworkCIFAR
import torch
from torch import nn


class NetworkCIFAR(nn.Module):
    def __init__(self, genotype, num_classes=10):
        super().__init__()
        self.widths = [width for _, width in genotype.normal]
        self.reduce = genotype.reduce[0]
        self.conv = nn.ModuleList([nn.Conv2d(1, self.widths[0], 3, padding=1) for _ in genotype.steps])
        self.fc = nn.Linear(self.widths[0], num_classes)

    def forward(self, x):
        x = torch.relu(self.conv[0](x))
        if self.drop_path_prob > 0:
            x = x * (1 - self.drop_path_prob)
        return self.fc(x.mean((2, 3)))
