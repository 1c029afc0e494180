"""The study: models, search backends and protocols in one table, and where the differences come from."""
