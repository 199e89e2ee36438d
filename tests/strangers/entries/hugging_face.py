# kind: an output object
# images: colour 16
# expect: trains
# expect: entry: TinyForImageClassification
from dataclasses import dataclass
from typing import Optional

import torch
from torch import nn


@dataclass
class ImageClassifierOutput:
    loss: Optional[torch.Tensor] = None
    logits: Optional[torch.Tensor] = None


class TinyModel(nn.Module):
    def __init__(self, hidden_size=8):
        super().__init__()
        self.conv = nn.Conv2d(3, hidden_size, 4, stride=4)

    def forward(self, pixel_values):
        return self.conv(pixel_values).mean((2, 3))


class TinyForImageClassification(nn.Module):
    def __init__(self, num_labels=1000):
        super().__init__()
        self.model = TinyModel()
        self.classifier = nn.Linear(8, num_labels)

    def forward(self, pixel_values, labels=None):
        logits = self.classifier(self.model(pixel_values))
        loss = None if labels is None else nn.functional.cross_entropy(logits, labels)
        return ImageClassifierOutput(loss=loss, logits=logits)
