import yaml
from net import Net
from utils import Params

sizes = ["small", "large"]


def main(path):
    cfg = yaml.safe_load(open(path))
    for size in sizes:
        params = Params(size, classes=cfg["classes"])
        network = Net(params)
    return network
