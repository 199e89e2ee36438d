import argparse

from net import *

parser = argparse.ArgumentParser()
parser.add_argument("--model_type", choices=["deep_elsewhere", "preact"])
args = parser.parse_args()
model = eval(args.model_type)(num_classes=10)
