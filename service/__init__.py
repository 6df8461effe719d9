"""The service: a BentoML service that answers which anatomical entity a radiograph shows, and its web page."""

import os

# numpy's products of the size of one answer gain nothing by a second thread, which takes its core from the engine:
# the out-of-scope score of 2,048 features takes 1.9 ms on one thread and 8 on two that others disturb.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
