"""Reading data files, and writing results atomically."""
