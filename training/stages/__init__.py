"""The stages of the training job. They meet through the files of a run and never import each other."""
