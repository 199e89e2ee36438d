from net import Net

if __name__ == "__main__":
    model = Net(input_shape=(8, 3, 64, 64), width=5, num_classes=100)
