from net import NetK

net = NetK(k=18, gated=True)
