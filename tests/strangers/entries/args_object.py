# kind: settings object
# images: colour 16
# expect: typed: --entry Net --model-arg 'args={kernel_size: 3, in_channels: 3, width: 64, dropout: 0.1, num_classes: 2, use_mean: false, num_layers: 4}'
import torch
import torch.nn as nn


class Block(nn.Module):
    def __init__(self, args, width):
        super().__init__()
        self.conv = nn.Conv2d(width, width, args.kernel_size, padding=args.kernel_size // 2)

    def forward(self, x):
        return torch.relu(self.conv(x))


class Net(nn.Module):
    def __init__(self, args):
        super().__init__()
        self.args = args
        self.stem = nn.Conv2d(args.in_channels, args.width, 3, padding=1)
        self.blocks = nn.Sequential(*[Block(args, args.width) for _ in range(args.num_layers)])
        self.drop = nn.Dropout(args.dropout)
        self.fc = nn.Linear(args.width, args.num_classes)

    def forward(self, x):
        if self.args.use_mean:
            x = x - x.mean()
        x = self.blocks(self.stem(x))
        return self.fc(self.drop(x.mean((2, 3))))
