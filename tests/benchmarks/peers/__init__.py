"""What the service is compared with: the same weights served as each library's documentation shows, and no more.

Each is one small file with default settings: one worker, torch's default threads, no batching of its own. `plain` is
what they share: a file to pixels, pixels to probabilities. See `tests/benchmarks/serving.py`.
"""
