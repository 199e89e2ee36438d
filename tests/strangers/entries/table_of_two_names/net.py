# kind: a builder that reads a table beside by two names, and hands on what stands there
# expect: typed: --entry create_model --model-arg dataset_name=imagenet --model-arg model_name=tiny-18
from tables_of_mine import PARAMETERS
from torch import nn


class Net(nn.Module):
    def __init__(self, stem, width, dropout, **kwargs):
        super().__init__()
        self.stem = stem(width)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(width, kwargs["num_classes"])

    def forward(self, x):
        return self.fc(self.dropout(self.stem(x).relu().mean((2, 3))))


def create_model(dataset_name, model_name, **kwargs):
    model_params = {"dropout": 0.0}
    model_params.update(PARAMETERS[dataset_name][model_name])
    model_params.update(kwargs)
    return Net(**model_params)
