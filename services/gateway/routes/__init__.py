"""Endpoints by subject; each calls the straight path and holds no logic of its own."""
