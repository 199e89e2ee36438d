# kind: size of images
# images: colour 16
# expect: trains
# expect: entry: SmallViT
import torch
import torch.nn as nn


class SmallViT(nn.Module):
    def __init__(self, img_size=224, patch_size=8, in_chans=3, num_classes=1000, embed_dim=12):
        super().__init__()
        self.img_size = img_size
        self.proj = nn.Conv2d(in_chans, embed_dim, patch_size, stride=patch_size)
        self.pos = nn.Parameter(torch.zeros(1, (img_size // patch_size) ** 2, embed_dim))
        self.head = nn.Linear(embed_dim, num_classes)

    def forward(self, x):
        assert x.shape[-1] == self.img_size, f"Input image size {x.shape[-1]} doesn't match model {self.img_size}"
        return self.head((self.proj(x).flatten(2).transpose(1, 2) + self.pos).mean(1))
