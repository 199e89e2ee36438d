"""Where it runs: device, processes, and the state of a model meanwhile."""
