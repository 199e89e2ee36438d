# kind: no logits
# train: --replace-head
# expect: trains
# expect: exports: any
# expect: says: a linear layer is put behind the average of the model's 4 tokens of 16 features
from torch import nn


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(1, 16, 4, stride=4)
        self.block = nn.TransformerEncoderLayer(16, 2, 16, batch_first=True)

    def forward(self, x):
        return self.block(self.patches(x).flatten(2).transpose(1, 2))
