"""Config -> trained model and a run folder."""
