# kind: a package
# expect: as typed Net
from .net import Net
