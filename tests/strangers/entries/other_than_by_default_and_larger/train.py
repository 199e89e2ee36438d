from net import Net

if __name__ == "__main__":
    model = Net(width=5, num_classes=100)
