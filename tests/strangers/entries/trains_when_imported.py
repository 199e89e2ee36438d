# kind: a script without main
# images: colour 16
# expect: error: it trains a network (trains_when_imported.py, line HERE)
import torch
import torch.nn as nn

model = nn.Linear(3, 2)
for epoch in range(3):  # here
    model(torch.rand(2, 3)).sum().backward()
