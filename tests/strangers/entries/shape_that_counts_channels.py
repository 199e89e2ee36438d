# kind: a course's network, whose input shape is the number of channels and whose output shape that of classes
# images: colour 16
# expect: typed: --entry TinyVGG --model-arg hidden_units=10
# expect: entry: TinyVGG

from torch import nn


class TinyVGG(nn.Module):
    def __init__(self, input_shape: int, hidden_units: int, output_shape: int) -> None:
        super().__init__()
        self.block_1 = nn.Sequential(
            nn.Conv2d(in_channels=input_shape, out_channels=hidden_units, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(kernel_size=2, stride=2),
        )
        self.classifier = nn.Sequential(
            nn.Flatten(),
            nn.Linear(in_features=hidden_units * 8 * 8, out_features=output_shape),
        )

    def forward(self, x):
        return self.classifier(self.block_1(x))


if __name__ == "__main__":
    model_0 = TinyVGG(input_shape=3, hidden_units=10, output_shape=5)
