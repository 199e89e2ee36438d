from net import Own

network = Own()
