"""Image files -> uint8 arrays and tensors. Reading files is the work of this room and of `models` alone."""
