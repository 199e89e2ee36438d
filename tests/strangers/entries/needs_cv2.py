# kind: a package that is missing
# expect: refused "Install it: pip install opencv_of_nobody"
# expect: refused "line 5"
import torch.nn as nn
import opencv_of_nobody.core

model = nn.Linear(3, 2)
