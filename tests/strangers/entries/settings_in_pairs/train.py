from collections import OrderedDict


def main(args):
    return OrderedDict([("depth", args.depth), ("input_shape", (1, 3, 32, 32)), ("n_classes", 10)])
