# kind: its settings are made by a class of a file beside, from arguments; a script does so
# expect: typed: --entry Net --model-arg 'params=utils.Params(name="small", classes=2)'
from torch import nn


class Net(nn.Module):
    def __init__(self, params):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Flatten(), nn.Linear(64, params.widths[params.name]), nn.ReLU(), nn.Linear(params.widths[params.name], params.classes)
        )

    def forward(self, x):
        return self.layers(x)
