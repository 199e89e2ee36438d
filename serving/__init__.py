"""The BentoML service: a bundle over HTTP. Imports no torch."""
