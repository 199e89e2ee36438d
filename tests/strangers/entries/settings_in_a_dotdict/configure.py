class dotdict(dict):
    __getattr__ = dict.get


model_configs = dotdict({"name": "net", "width": 7, "depth": 2, "num_classes": 10})
