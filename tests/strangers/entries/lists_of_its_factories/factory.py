from net import Deep


def large(**kwargs):
    rows = [[4, 1, 0], [8, 2, 1]]
    return Deep(rows, mode="large", **kwargs)


def small(**kwargs):
    rows = [[2, 1, 0]]
    return Deep(rows, mode="small", **kwargs)
