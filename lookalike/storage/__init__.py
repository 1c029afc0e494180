"""The object store: the port and its adapters."""
