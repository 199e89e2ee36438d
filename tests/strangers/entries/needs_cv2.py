# kind: a package that is missing
# images: colour 16
# expect: error: hardener knows no package opencv_of_nobody
# expect: error: line HERE
import torch.nn as nn
import opencv_of_nobody.core  # here

opencv_of_nobody.core.set_threads(0)
model = nn.Linear(3, 2)
