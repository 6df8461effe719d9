"""The labelling page: a person names the clusters, and every decision is kept."""
