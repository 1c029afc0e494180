"""Searchable forms of an embedding set: the port, a module per backend, and what all of them share."""
