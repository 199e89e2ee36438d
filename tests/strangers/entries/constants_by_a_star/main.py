from config import *  # noqa: F403
from net import Net

model = Net(width=WIDTH, hidden=int(2.0 * WIDTH), path_rate=PATH_RATE)  # noqa: F405
