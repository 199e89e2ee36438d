from nets import Small

model = Small()
