NAMES = {}


def register(name):
    def kept(make):
        if name in NAMES:
            raise ValueError(f"{name} is registered already")
        NAMES[name] = make
        return make

    return kept
