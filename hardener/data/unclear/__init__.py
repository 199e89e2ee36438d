"""Trees that can be read in more than one way: what their names tell, and what is refused."""
