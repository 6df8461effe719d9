"""Public data sets, read by their layout: `python -m training public`; what they are is in training/public_data.md."""
