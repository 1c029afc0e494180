"""The worker that ingests, builds, compares and promotes."""
