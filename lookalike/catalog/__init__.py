"""What exists and what is live: small JSON objects in the store."""
