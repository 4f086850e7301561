"""Published sets as datasets, to train on and to evaluate with: a reader for each, and one writer."""
