import argparse

import nets

parser = argparse.ArgumentParser()
parser.add_argument("-n", "--net", default="wide")
parser.add_argument("--classes", type=int, default=100)

if __name__ == "__main__":
    args = parser.parse_args()
    model = getattr(nets, args.net)(num_classes=args.classes, scaled=True)
