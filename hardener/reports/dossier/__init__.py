"""The dossier: one file about one run for whoever must sign. Reads records alone."""
