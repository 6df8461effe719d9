"""A load test of a running service: `make loadtest`. Speaks HTTP only."""
