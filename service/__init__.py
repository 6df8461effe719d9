"""The service: a BentoML service that answers which anatomical entity a radiograph shows, and its web page."""
