# kind: settings that say how often something is done
# images: colour 16
# expect: typed: --entry Classifier --model-arg 'config={num_hidden_layers: 2, hidden_size: 64, bottleneck: 4, patch_drop: 0.1, qkv_bias: {uniform_: 4}, num_channels: 3, num_classes: 2}'
import torch.nn as nn


class Encoder(nn.Module):
    def __init__(self, config):
        super().__init__()
        width, narrow = config["hidden_size"], config["bottleneck"]
        self.waist = nn.Sequential(nn.Linear(width, narrow), nn.Dropout(config["patch_drop"]), nn.Linear(narrow, width))
        self.layers = nn.ModuleList([])
        for _ in range(config["num_hidden_layers"]):
            self.layers.append(nn.Linear(width, width, bias=config["qkv_bias"]))

    def forward(self, x):
        for layer in self.layers:
            x = x + self.waist(layer(x).relu())
        return x


class Classifier(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.embed = nn.Conv2d(config["num_channels"], config["hidden_size"], 4, 4)
        self.encoder = Encoder(config)
        self.head = nn.Linear(config["hidden_size"], config["num_classes"])

    def forward(self, x):
        return self.head(self.encoder(self.embed(x).flatten(2).mean(2)))
