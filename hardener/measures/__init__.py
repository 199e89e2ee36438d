"""What is measured of a model besides attacks."""
