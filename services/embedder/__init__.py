"""The embedder: a process that holds models and turns prepared images into embeddings."""
