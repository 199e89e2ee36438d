# kind: a registry
# images: colour 16
# expect: typed: --entry nano_net
import torch
import torch.nn as nn

_REGISTRY = {}


def register_model(fn):
    _REGISTRY[fn.__name__] = fn
    return fn


def _cfg(url="", **kwargs):
    return {"url": url, "num_classes": 1000, "input_size": (3, 224, 224), **kwargs}


default_cfgs = {"nano_net": _cfg(), "tiny_net": _cfg()}


class ConvNet(nn.Module):
    def __init__(self, in_chans=3, num_classes=1000, depths=[1, 1], drop_path_rate=0.1):
        super().__init__()
        rates = [x.item() for x in torch.linspace(0, drop_path_rate, sum(depths))]
        self.stem = nn.Conv2d(in_chans, 4, 2, stride=2)
        self.blocks = nn.Sequential(*[nn.Conv2d(4, 4, 3, padding=1) for _ in rates])
        self.head = nn.Linear(4, num_classes)

    def forward(self, x):
        return self.head(self.blocks(self.stem(x)).mean((2, 3)))


def _create(variant, pretrained=False, **kwargs):
    model = ConvNet(**kwargs)
    model.default_cfg = default_cfgs[variant]
    return model


@register_model
def nano_net(pretrained=False, **kwargs):
    return _create("nano_net", pretrained, depths=[1, 1], **kwargs)


@register_model
def tiny_net(pretrained=False, **kwargs):
    return _create("tiny_net", pretrained, depths=[2, 2], **kwargs)
