"""Lookalike: content-based image search that can be trusted, compared and measured."""

__version__ = "0.1.0"
