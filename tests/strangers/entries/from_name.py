# kind: a class that only its own class method builds, by a name out of a table
# expect: typed: --entry Net.from_name --model-arg model_name=tiny-b0
# expect: entry: Net.from_name
from collections import namedtuple

from torch import hub, nn

Params = namedtuple("Params", ["width", "num_classes"])


def params_of(model_name, override):
    table = {"tiny-b0": (4, 10), "tiny-b1": (8, 10)}
    width, num_classes = table[model_name]
    params = Params(width, num_classes)
    return params._replace(**override) if override else params


class Net(nn.Module):
    def __init__(self, params=None):
        super().__init__()
        assert isinstance(params, Params), "params should be a Params"
        self.conv = nn.Conv2d(1, params.width, 3)
        self.fc = nn.Linear(params.width, params.num_classes)

    def forward(self, x):
        return self.fc(self.conv(x).relu().mean((2, 3)))

    @classmethod
    def from_name(cls, model_name, **override_params):
        cls.see_that_it_is_known(model_name)
        return cls(params_of(model_name, override_params))

    @classmethod
    def from_pretrained(cls, model_name, num_classes=1000):
        model = cls.from_name(model_name, num_classes=num_classes)
        model.load_state_dict(hub.load_state_dict_from_url("https://example.com/net.pth"))
        return model

    @classmethod
    def see_that_it_is_known(cls, model_name):
        if model_name not in ("tiny-b0", "tiny-b1"):
            raise ValueError(model_name)
