# kind: of a function's branches one hands its keywords to a network that needs more than the others
# images: colour 16
# expect: typed: --entry make --model-arg name=small
# expect: entry: make
import nets


def make(name: str, num_classes: int, **kwargs):
    if name == "small":
        return nets.Net(num_classes, **kwargs)
    elif name == "margin":
        return nets.Margin(num_classes, **kwargs)
    raise ValueError(name)
