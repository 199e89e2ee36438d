# kind: the side of the images by a short name
# images: colour 16
# expect: trains
import torch.nn as nn


class Conv2(nn.Module):
    def __init__(self, in_ch, imgsz, num_classes=10):
        super().__init__()
        self.conv = nn.Conv2d(in_ch, 4, 3, padding=1)
        self.pool = nn.MaxPool2d(4)
        self.fc = nn.Linear(4 * (imgsz // 4) * (imgsz // 4), num_classes)

    def forward(self, x):
        x = self.pool(self.conv(x).relu())
        return self.fc(x.view(x.size(0), -1))
