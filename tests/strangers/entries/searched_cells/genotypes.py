from collections import namedtuple

Genotype = namedtuple("Genotype", "normal reduce steps")
OTHERS = Genotype(normal=[("wide", 8)], reduce=["max"], steps=range(2))
CELLS_CIFAR = Genotype(normal=[("conv", 4)], reduce=["mean"], steps=range(1))
PLAIN = Genotype(normal=[("conv", 2)], reduce=["mean"], steps=[0])
