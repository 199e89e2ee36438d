# kind: Python 2
# images: colour 16
# expect: error: written for Python 2
# expect: error: python2.py, line HERE
import torch.nn as nn


class Net(nn.Module):
    def __init__(self):
        super(Net, self).__init__()
        print "building"  # here
