from nets import Read

model = Read(3, True)
