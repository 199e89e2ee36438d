# kind: a script without main
# expect: refused "it trains a network (trains_when_imported.py, line 7)"
import torch
import torch.nn as nn

model = nn.Linear(3, 2)
for epoch in range(3):
    model(torch.rand(2, 3)).sum().backward()
