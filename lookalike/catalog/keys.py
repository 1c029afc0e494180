"""Where everything lies in the object store.

Names are checked before they become part of a key: galleries and models by the pattern, everything else is a
digest or a number.
"""

import re

from lookalike.errors import InvalidRequest
from lookalike.types.ids import sha256_hex

_GALLERY = re.compile(r"^[a-z0-9][a-z0-9_\-]{0,62}$")
ACCESS_KEYS = "access/keys/"
GALLERIES = "galleries/"
MODELS = "models/"


def check_gallery_name(name: str) -> str:
    """``name`` itself. Raises InvalidRequest unless it is 1 to 63 of ``a-z 0-9 _ -``, first a letter or digit."""
    if _GALLERY.match(name) is None:
        raise InvalidRequest(
            f"not a gallery name: {name!r:.100} (1 to 63 of a-z, 0-9, _ and -, the first a letter or digit)",
            gallery=name[:100],
        )
    return name


def gallery_folder(gallery: str) -> str:
    return f"{GALLERIES}{check_gallery_name(gallery)}/"


def gallery_pointer(gallery: str) -> str:
    return f"{gallery_folder(gallery)}gallery.json"


def gallery_version(gallery: str, version: str) -> str:
    return f"{gallery_folder(gallery)}versions/{version}.json"


def record_part(gallery: str, digest: str) -> str:
    return f"{gallery_folder(gallery)}records/{digest}.jsonl"


def image(gallery: str, sha256: str) -> str:
    return f"{gallery_folder(gallery)}images/{sha256[:2]}/{sha256}"


def failures(gallery: str, stage: str) -> str:
    return f"{gallery_folder(gallery)}failures/{stage}.jsonl"


def ingest_notes(gallery: str, source: str) -> str:
    """Folder of what an ingest of one source has settled before it ended."""
    return f"{gallery_folder(gallery)}ingesting/{sha256_hex(source.encode())[:16]}/"


def embedding_parts(gallery: str, model_digest: str) -> str:
    """Folder of all parts of a gallery under a model."""
    return f"{gallery_folder(gallery)}embeddings/{model_digest[:16]}/parts/"


def embedding_part(gallery: str, model_digest: str, part_id: str) -> str:
    """Folder of one part; inside are its embeddings, its items and, written last, ``part.json``."""
    return f"{embedding_parts(gallery, model_digest)}{part_id}/"


def embedding_set(gallery: str, set_id: str) -> str:
    return f"{gallery_folder(gallery)}sets/{set_id}.json"


def newest_set(gallery: str, model_digest: str) -> str:
    return f"{gallery_folder(gallery)}embeddings/{model_digest[:16]}/newest.json"


def index_folder(gallery: str, index_id: str) -> str:
    return f"{gallery_folder(gallery)}indexes/{index_id}/"


def index_manifest(gallery: str, index_id: str) -> str:
    return f"{index_folder(gallery, index_id)}index.json"


def tuned_params(gallery: str, index_id: str) -> str:
    return f"{index_folder(gallery, index_id)}tuned.json"


def retired_index(gallery: str, index_id: str) -> str:
    """The manifest of an index that is being collected and may still be on a server."""
    return f"{index_folder(gallery, index_id)}retired.json"


def live(gallery: str) -> str:
    return f"{gallery_folder(gallery)}live.json"


def model_folder(name: str) -> str:
    return f"{MODELS}{name}/"


def model_manifest(name: str, version: int) -> str:
    return f"{MODELS}{name}/{version}/manifest.json"


def evaluation(evaluation_id: str) -> str:
    return f"evaluations/{_identifier(evaluation_id)}.json"


def job(job_id: str) -> str:
    return f"jobs/{_identifier(job_id)}.json"


def plans(job_id: str) -> str:
    """Folder of what a job has planned."""
    return f"plans/{_identifier(job_id)}/"


def plan(job_id: str, number: int) -> str:
    return f"{plans(job_id)}parts/{number:04d}.json"


def pinned(job_id: str, job_attempt: int) -> str:
    return f"{plans(job_id)}set/{job_attempt:04d}.json"


def access_key(key_id: str) -> str:
    return f"{ACCESS_KEYS}{_identifier(key_id)}.json"


def _identifier(text: str) -> str:
    if re.fullmatch(r"[0-9a-f\-]{8,64}", text) is None:
        raise InvalidRequest(f"not an identifier: {text!r:.100}", id=text[:100])
    return text
