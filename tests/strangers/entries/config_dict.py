# kind: settings mapping
# images: colour 16
# expect: typed: --entry ConvNet --model-arg 'config={hidden_dim: 64, im_channels: 3, kernel_size: 3, n_classes: 2}'
import torch.nn as nn


class ConvNet(nn.Module):
    def __init__(self, config):
        super().__init__()
        width = config["hidden_dim"]
        self.net = nn.Sequential(
            nn.Conv2d(config["im_channels"], width, config["kernel_size"], stride=2),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Dropout(config.get("dropout", 0.1)),
            nn.Linear(width, config["n_classes"]),
        )

    def forward(self, x):
        return self.net(x)
