"""Pixels to embeddings: the port, its adapters and the model archive."""
