from nets import *

if __name__ == "__main__":
    model = small()
