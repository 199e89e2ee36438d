# kind: its code fetches weights, and it takes larger images than these
# images: colour 16
# expect: typed: --no-pretrained --image-size 28
from torch import nn
from torch.hub import load_state_dict_from_url


class Net(nn.Module):
    def __init__(self, num_classes=2):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.ReLU(), nn.Flatten())
        self.fc = nn.Linear(4 * 13 * 13, num_classes)
        self.load_state_dict(load_state_dict_from_url("http://weights.invalid/larger.pth", progress=False))

    def forward(self, x):
        return self.fc(self.layers(x))
