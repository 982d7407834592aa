"""``taperctl restore``: from what is wanted to files, by a plan that is shown before."""
