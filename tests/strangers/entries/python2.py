# kind: Python 2
# expect: refused "written for Python 2"
# expect: refused "python2.py, line 10"
import torch.nn as nn


class Net(nn.Module):
    def __init__(self):
        super(Net, self).__init__()
        print "building"
