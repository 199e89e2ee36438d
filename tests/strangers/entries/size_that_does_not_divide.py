# kind: size of images
# images: colour 16
# needs: long
# expect: typed: --image-size 28
import torch.nn as nn


class Patches(nn.Module):
    def __init__(self, image_size=14, patch_size=7, class_num=10):
        super().__init__()
        self.count, self.side = image_size // patch_size, patch_size
        self.embed = nn.Linear(3 * patch_size**2, 12)
        self.head = nn.Linear(12, class_num)

    def forward(self, x):
        batch, channels = x.shape[:2]
        x = x.reshape(batch, channels, self.count, self.side, self.count, self.side)
        x = x.permute(0, 2, 4, 1, 3, 5).reshape(batch, self.count**2, -1)
        return self.head(self.embed(x).mean(1))
