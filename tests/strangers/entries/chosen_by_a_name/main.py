import argparse

import wide

parser = argparse.ArgumentParser()
parser.add_argument("--arch", default="wide")
parser.add_argument("--depth", type=int, default=2)
parser.add_argument("--widen", type=int, default=3)

if __name__ == "__main__":
    args = parser.parse_args()
    if args.arch.startswith("cardinal"):
        model = wide.__dict__[args.arch](depth=args.depth, cardinality=8, num_classes=10)
    else:
        model = wide.__dict__[args.arch](depth=args.depth, widen=args.widen, num_classes=10)
