class Config:
    def __init__(self, width, depth):
        self.width = width
        self.transformer = {"depth": depth}


CONFIGS = {"large.1": Config(9, 3), "middle-2": Config(5, 2), "small": Config(4, 1), "testing": Config(1, 1)}
OTHER = {"small": {"other": 1}}
