"""Tables: CSV, TSV, JSON, JSON lines, text and parquet -> columns of text -> images with classes and splits."""
