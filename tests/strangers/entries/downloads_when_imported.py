# kind: a script without main
# expect: refused "it downloads data (downloads_when_imported.py, line 6)"
import torch.nn as nn
from torchvision import datasets

train_data = datasets.CIFAR10("data", download=True)
model = nn.Linear(3, 2)
