# kind: weights that fit images of 48 pixels alone
# expect: typed: --image-size 48 --replace-head
import torch.nn as nn


class Emotion(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.MaxPool2d(2), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.MaxPool2d(2)
        )
        self.fc = nn.Linear(400, 7)

    def forward(self, x):
        return self.fc(self.features(x).view(-1, 400))
