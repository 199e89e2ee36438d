import argparse

parser = argparse.ArgumentParser()
parser.add_argument("--depth", type=int, default=9)
parser.add_argument("--size", default="large")
