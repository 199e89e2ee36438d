from .resnet import Net, Wide


def deep(**kwargs):
    return Net(Wide, [6, 8], deep=True, **kwargs)
