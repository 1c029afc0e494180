"""Training data: labelled images in memory, their splits, and the batches of an epoch."""
