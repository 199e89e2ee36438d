# kind: the one network that is built somewhere has arguments and a fixed number of outputs; others need nothing
# images: colour 16
# expect: typed: --entry Large --model-arg width=6 --model-arg dropout=0.5 --replace-head
import torch.nn as nn


class Tiny(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.fc = nn.Linear(4, 1)

    def forward(self, x):
        return self.fc(self.conv(x).relu().mean((2, 3)))


class Small(Tiny):
    pass


class Large(nn.Module):
    def __init__(self, width, dropout):
        super().__init__()
        self.conv = nn.Conv2d(3, width, 3, padding=1)
        self.drop = nn.Dropout(dropout)
        self.fc = nn.Linear(width, 1)

    def forward(self, x):
        return self.fc(self.drop(self.conv(x).relu().mean((2, 3))))


if __name__ == "__main__":
    print(Large(6, 0.5))
