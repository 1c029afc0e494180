"""What of an embedding is done, seen in the store: so that what was finished is not done again, and no image twice."""

from collections import Counter
from collections.abc import Mapping
from datetime import datetime

from lookalike.catalog import keys
from lookalike.catalog.embedding_sets import EmbeddingSet, kept_rows
from lookalike.pipeline.index_gallery import newest_set
from lookalike.pipeline.workspace import Workspace
from lookalike.types.models import ModelRef

# By key: the ETag, and when it was written. Bytes that are written again have another time.
Objects = Mapping[str, tuple[str, datetime | None]]


def finished_objects(at: Workspace, gallery: str, model: str) -> Objects:
    """Everything that finished parts consist of."""
    digest = at.models.get(ModelRef.parse(model)).embedding_digest
    done = set(at.sets.finished_parts(gallery, digest))
    listed = at.store.list(keys.embedding_parts(gallery, digest))
    return {info.key: (info.etag, info.modified_at) for info in listed if info.key.split("/")[-2] in done}


def num_finished(at: Workspace, gallery: str, model: str) -> int:
    """How many parts are done."""
    return len(list(at.sets.finished_parts(gallery, at.models.get(ModelRef.parse(model)).embedding_digest)))


def assert_untouched(before: Objects, now: Objects) -> None:
    """Nothing of ``before`` was written again since."""
    assert before
    assert {key: now.get(key) for key in before} == before


def assert_every_image_once(at: Workspace, gallery: str, model: str, *, but: frozenset[str] = frozenset()) -> None:
    """The newest set has each image of the gallery's present version once, those whose keys are ``but`` left out."""
    final = newest_set(at, gallery, model)
    version = at.galleries.version(gallery)
    assert final.version_id == version.version_id
    wanted = {record.image_id.replace("-", "") for record in at.galleries.records(version) if record.key not in but}
    assert embedded(at, final) == Counter(wanted)


def embedded(at: Workspace, final: EmbeddingSet) -> Counter[str]:
    """How often a set has each image, by the hexadecimal digits of its identifier."""
    found: Counter[str] = Counter()
    for part in final.parts:
        ids_N16 = at.sets.read_part(final.gallery, final.model_digest, part.part_id).ids_N16[kept_rows(part)]
        found.update(row.tobytes().hex() for row in ids_N16)
    return found
