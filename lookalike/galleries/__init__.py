"""Readers: where the images of a gallery come from."""
