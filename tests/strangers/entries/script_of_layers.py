# kind: script
# images: colour 16
# expect: error: None of its classes (Flatten) learns. Put what it puts together outside of them into a function
from torch import nn
from torchvision.datasets import MNIST

data = MNIST("../data", download=True)


class Flatten(nn.Module):
    def forward(self, x):
        return x.view(x.shape[0], -1)


net = nn.Sequential(Flatten(), nn.Linear(len(data[0][0]), 10))
