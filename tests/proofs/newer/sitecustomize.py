"""Python starts with this where PYTHONPATH names its folder: a worker of a later version of the messages' format."""

from lookalike.jobs import formats

formats.FORMAT += 1
