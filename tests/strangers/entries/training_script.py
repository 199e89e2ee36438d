# kind: a script with main
# images: colour 16
# expect: trains
# expect: entry: Net
import argparse

import torch
import torch.nn as nn
import torch.nn.functional as F


class Net(nn.Module):
    def __init__(self):
        super(Net, self).__init__()
        self.conv1 = nn.Conv2d(3, 4, 3, 1)
        self.dropout1 = nn.Dropout(0.25)
        self.fc1 = nn.Linear(4, 2)

    def forward(self, x):
        x = F.relu(self.conv1(x))
        x = self.dropout1(F.adaptive_avg_pool2d(x, 1).flatten(1))
        return F.log_softmax(self.fc1(x), dim=1)


def train(args, model, device, train_loader, optimizer, epoch):
    raise SystemExit("train was run")


def test(num_classes=10):
    raise SystemExit("test was run")


def main():
    parser = argparse.ArgumentParser(description="PyTorch MNIST Example")
    parser.add_argument("--batch-size", type=int, default=64)
    args = parser.parse_args()
    model = Net()
    raise SystemExit("main was run")
    return model


if __name__ == "__main__":
    main()
