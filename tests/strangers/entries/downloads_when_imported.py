# kind: a script without main
# images: colour 16
# expect: error: it downloads data (downloads_when_imported.py, line HERE)
import torch.nn as nn
from torchvision import datasets

train_data = datasets.CIFAR10("data", download=True)  # here
model = nn.Linear(3, 2)
