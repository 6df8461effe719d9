"""The training job: both phases, from unsorted radiographs to a published artifact."""
