# kind: a package
# images: colour 16
# expect: trains
# expect: entry: Net
from .net import Net
