from net import Deep, Plain

model = Deep(width=12, num_classes=2)
