# kind: export
# needs: long
# expect: trains
# expect: fails: ONNX Runtime cannot run the node Conv (convolves_in_double.py, line HERE)
from torch import nn
from torch.nn import functional as F


class Net(nn.Module):
    def __init__(self, num_classes=2):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.fc = nn.Linear(36, num_classes)

    def forward(self, x):
        x = F.conv2d(x.double(), self.conv.weight.double(), padding=1)  # here
        return self.fc(F.adaptive_avg_pool2d(x, 3).flatten(1).float())
