raise ImportError("the package above needs more than the network does")
