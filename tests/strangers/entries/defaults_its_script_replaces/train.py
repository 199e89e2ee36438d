from net import Mixer

if __name__ == "__main__":
    network = Mixer(4, 2, num_classes=10)
