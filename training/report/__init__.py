"""The report of a run: one HTML file that loads nothing, with every figure taken from the run's own files."""
