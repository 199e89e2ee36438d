# kind: it ends the program
# images: colour 16
# expect: error: raises SystemExit
# expect: error: prints_and_exits.py, line HERE
import sys

from torch import nn

print("hello")
if len(sys.argv) < 2:
    sys.exit("usage: net.py DATA")  # here
model = nn.Linear(3, 2)
