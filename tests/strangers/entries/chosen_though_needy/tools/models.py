import models


def get_model(args):
    return models.__dict__[args.model](c=args.width, num_classes=10)
