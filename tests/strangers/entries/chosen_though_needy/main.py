import argparse

from tools.models import get_model

parser = argparse.ArgumentParser()
parser.add_argument("--model", default="van8")
parser.add_argument("--width", default=6)
model = get_model(parser.parse_args())
