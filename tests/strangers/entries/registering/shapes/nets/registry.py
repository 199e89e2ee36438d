_KNOWN = {}


def register(cls):
    if cls.__name__ in _KNOWN:
        raise ValueError(f"{cls.__name__} is known already")
    _KNOWN[cls.__name__] = cls
    return cls


def make(name):
    return _KNOWN[name]
