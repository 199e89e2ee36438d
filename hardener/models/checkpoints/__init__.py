"""Files of weights: every tensor by its name, what they say of their network, and which of it a network takes."""
