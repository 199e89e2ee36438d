from net import Net


def make(variant, num_classes):
    if variant == "large":
        width = 60
        depth = 5
    elif variant == "small":
        width = 6
        depth = 3
    return Net(width=width, depth=depth, num_classes=num_classes)
