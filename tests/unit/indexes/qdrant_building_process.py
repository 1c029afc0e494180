"""Builds an index on the Qdrant server at the given URL, into the given folder: to be killed at it."""

import sys
from pathlib import Path

from qdrant_small import build, source

from lookalike.indexes import qdrant_server_upload
from lookalike.indexes.qdrant_server import QdrantServerBackend

qdrant_server_upload._BATCH_BYTES = 2500
build(QdrantServerBackend(sys.argv[1]), Path(sys.argv[2]), source(200))
