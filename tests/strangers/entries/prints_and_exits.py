# kind: it ends the program
# expect: refused "raises SystemExit"
# expect: refused "prints_and_exits.py, line 10"
import sys

from torch import nn

print("hello")
if len(sys.argv) < 2:
    sys.exit("usage: net.py DATA")
model = nn.Linear(3, 2)
