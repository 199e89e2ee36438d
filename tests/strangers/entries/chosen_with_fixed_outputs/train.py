import argparse

import net as models

parser = argparse.ArgumentParser()
parser.add_argument("--model", type=str, default="Fixed")
args = parser.parse_args()
net = models.__dict__[args.model]().to("cpu")
