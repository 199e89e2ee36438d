import argparse

from net import Net

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--width", type=int, default=6)
    parser.add_argument("--resume", type=str, default="")
    args = parser.parse_args()
    kwargs = {"width": args.width, "depth": 3}
    model = Net(**kwargs)
