# kind: another framework
# images: colour 16
# expect: error: hardener knows no package keras_of_nobody
import keras_of_nobody as keras  # a name that is never installed


def build_model(num_classes):
    return keras.Sequential([keras.layers.Dense(num_classes)])
