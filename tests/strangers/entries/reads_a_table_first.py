# kind: a script without main
# images: colour 16
# expect: trains
# expect: entry: Net
# expect: says: it raises FileNotFoundError
import torch.nn as nn

labels = open("nowhere/labels.csv").read().split()
NUM = 2


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3, NUM)

    def forward(self, x):
        return self.fc(x.mean((2, 3)))
