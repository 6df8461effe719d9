"""SAM-X: what training and service share, from reading a radiograph to answering what it shows."""

__version__ = "0.1.0"
