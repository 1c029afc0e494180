"""Work that outlives a request: the port, its adapters and the failure ledger."""
