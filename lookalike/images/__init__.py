"""Bytes to pixels: formats, limits, resize policies and thumbnails. No torch here."""
