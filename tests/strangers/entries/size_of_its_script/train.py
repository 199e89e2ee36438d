from net import Net
from torchvision import transforms

steps = transforms.Compose([transforms.Resize((44, 44)), transforms.ToTensor()])
model = Net(3, 100, width=5)
