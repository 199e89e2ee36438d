# kind: imported from beside
# images: colour 16
# expect: trains
# expect: entry: small_net
from layers_of_mine import small_net
