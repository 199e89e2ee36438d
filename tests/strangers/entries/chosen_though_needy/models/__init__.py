# kind: a package of which a script takes one that needs a width, beside one that needs nothing
# images: colour 16
# expect: typed: --entry van8 --model-arg c=6
# expect: entry: van8
from .small import small
from .vanilla import van4, van8
