# kind: script
# images: colour 16
# expect: trains
# expect: entry: Flat
# expect: says: is a script: when it is imported, it trains a network (script_of_a_derived_class.py, line HERE)
from torch import nn
from torch.utils.data import Dataset


class Images(Dataset):
    def __len__(self):
        return 0


class Flat(nn.Sequential):
    def __init__(self, num_classes=10):
        super().__init__(nn.Flatten(), nn.Linear(3 * 16 * 16, num_classes))


for epoch in range(3):  # here
    loss = Flat()(Images()[0]).sum()
    loss.backward()
