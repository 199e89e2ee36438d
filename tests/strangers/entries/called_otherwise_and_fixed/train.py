from plain import Plain

model = Plain(layers=3)
