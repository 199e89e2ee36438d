# kind: settings by key, of which the shape of an image has two numbers, and outputs that are written in
# images: colour 16
# expect: typed: --entry VIT --model-arg 'model_settings={embedding_size: 64, input_shape: [16, 16], patch_size: 4}' --replace-head
import math

import torch
from torch import nn


class VIT(nn.Module):
    def __init__(self, model_settings):
        super().__init__()
        shape, side = model_settings["input_shape"], model_settings["patch_size"]
        self.count = math.prod(shape) // side**2
        self.patches = nn.Conv2d(3, model_settings["embedding_size"], side, stride=side)
        self.places = nn.Parameter(torch.zeros(1, self.count, model_settings["embedding_size"]))
        self.mlp_head = nn.Linear(model_settings["embedding_size"], 10)

    def forward(self, x):
        return self.mlp_head((self.patches(x).flatten(2).transpose(1, 2) + self.places).mean(1))
