# kind: a class of networks that timm makes by a name, with the layer at the end that some of them have
# images: colour 16
# expect: typed: --entry Net --model-arg model_name=efficientnet_b0
# expect: entry: Net
import timm
from torch import nn


class Net(nn.Module):
    def __init__(self, model_name, n_class):
        super().__init__()
        self.model = timm.create_model(model_name)
        self.model.classifier = nn.Linear(self.model.classifier.in_features, n_class)

    def forward(self, x):
        return self.model(x)
