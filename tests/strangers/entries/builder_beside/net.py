# kind: imported from beside
# expect: as typed small_net
from layers_of_mine import small_net
