"""From records to what people read; no torch."""
