# kind: counts pixels
# images: colour 16
# expect: trains
# expect: entry: MLP
import torch.nn as nn


class MLP(nn.Module):
    def __init__(self, input_size, hidden_size=16, num_classes=10):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(input_size, hidden_size), nn.ReLU(), nn.Linear(hidden_size, num_classes))

    def forward(self, x):
        return self.layers(x)
