from model import NetworkCIFAR

drop_path_prob = 0.2
model = NetworkCIFAR(genotype)
model.drop_path_prob = 0.0
