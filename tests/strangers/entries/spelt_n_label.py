# kind: the number of classes is spelt n_label
# images: colour 16
# expect: trains
# expect: entry: Net
from torch import nn


class Net(nn.Module):
    def __init__(self, n_label=10, emb_size=8):
        super().__init__()
        self.embedding = nn.Conv2d(3, emb_size, 3, stride=2)
        self.classifier = nn.Linear(emb_size, n_label)

    def forward(self, x):
        return self.classifier(self.embedding(x).relu().mean((2, 3)))
