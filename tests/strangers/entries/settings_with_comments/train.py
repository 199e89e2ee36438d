import json
import sys

from wide import Wide

params = json.load(open(sys.argv[1]))
if params.model == "Wide":
    model = Wide(params.model_params, k=params.width, num_classes=10)
