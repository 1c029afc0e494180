"""Each stage of the straight path is timed and counted, and its log lines and spans know whose they are."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from labelled_gallery import GALLERY as LABELLED
from labelled_gallery import LabelledGallery, random_gallery
from small_gallery import GALLERY, PART_IMAGES, BlockEmbedder, SmallGallery

from lookalike.pipeline.embed_plan import plan_parts, snapshot
from lookalike.pipeline.evaluate import evaluate_gallery
from lookalike.telemetry.context import bound, current
from lookalike.telemetry.declared import IMAGES_DECODED, IMAGES_EMBEDDED, IMAGES_FAILED, LIVE_SWITCHES, STAGE_SECONDS
from lookalike.telemetry.metrics import PROCESS


class Counts:
    """What the process's metrics grew by since the last look."""

    def __init__(self) -> None:
        self._registry = PROCESS.start()
        self._before = self._now()

    def grown(self, name: str, **labels: str) -> float:
        key = (name, tuple(sorted(labels.items())))
        return self._now().get(key, 0.0) - self._before.get(key, 0.0)

    def stage(self, name: str, backend: str = "", outcome: str = "ok") -> float:
        return self.grown(f"{STAGE_SECONDS.exposed}_count", stage=name, backend=backend, outcome=outcome)

    def _now(self) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
        return {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in self._registry.collect()
            for sample in family.samples
        }


@pytest.fixture
def counts() -> Counts:
    return Counts()


def test_embedding(tmp_path: Path, counts: Counts) -> None:
    gallery = SmallGallery(tmp_path)
    gallery.put(*range(PART_IMAGES + 2))
    gallery.put_bytes("broken", b"\x89PNG no more")
    gallery.embed(BlockEmbedder(batch_size=4))
    num_images = PART_IMAGES + 3
    assert counts.stage("read") == num_images
    assert counts.stage("decode") == num_images - 1
    assert counts.stage("decode", outcome="failed") == 1
    assert counts.stage("embed") == 3  # 4 + 4 of the first part, 3 of the second
    assert (counts.stage("embed_part"), counts.stage("write_part")) == (2, 2)
    assert counts.grown(IMAGES_DECODED.exposed) == counts.grown(IMAGES_EMBEDDED.exposed) == num_images - 1
    assert counts.grown(IMAGES_FAILED.exposed, stage="embed", code="invalid_image") == 1
    gallery.embed(BlockEmbedder())
    assert counts.stage("embed_part") == 2  # nothing was left to do


def test_the_threads_that_embed_know_job_part_and_gallery(tmp_path: Path) -> None:
    gallery = SmallGallery(tmp_path)
    gallery.put(*range(PART_IMAGES * 2))
    seen: list[Mapping[str, str]] = []
    digest = BlockEmbedder().manifest.embedding_digest
    at = snapshot(gallery.galleries, gallery.sets, GALLERY, digest)
    parts = plan_parts(
        gallery.galleries,
        gallery.sets,
        gallery.ledger,
        GALLERY,
        digest,
        at,
        retry_failed=False,
        part_images=PART_IMAGES,
    )
    planned = {part.part_id for part in parts}
    with bound(job_id="j"):
        gallery.embed(BlockEmbedder(seen=lambda number: seen.append(dict(current()))))
    assert {one["part_id"] for one in seen} == planned
    assert {(one["job_id"], one["gallery"]) for one in seen} == {("j", GALLERY)}
    assert "part_id" not in current()


def test_building_promoting_serving_and_evaluating(tmp_path: Path, counts: Counts) -> None:
    gallery = LabelledGallery(tmp_path)
    images, embeddings = random_gallery(30)
    gallery.put(images)
    first = gallery.embed("first@1", embeddings)
    gallery.promote(first, ["exact"])
    assert (counts.stage("build", "exact"), counts.stage("promote")) == (1, 1)
    gallery.at.serving.refresh(LABELLED)
    switches = counts.grown(LIVE_SWITCHES.exposed, gallery=LABELLED)
    gallery.promote(gallery.embed("second@1", embeddings), ["exact", "faiss"])
    gallery.at.serving.refresh(LABELLED)
    assert counts.grown(LIVE_SWITCHES.exposed, gallery=LABELLED) > switches
    assert (counts.stage("build", "exact"), counts.stage("build", "faiss"), counts.stage("promote")) == (2, 1, 2)
    evaluate_gallery(gallery.at, LABELLED, models=["second@1"], k=3, num_queries=5)
    assert (counts.stage("evaluate", "exact"), counts.stage("evaluate", "faiss")) == (1, 1)
    gallery.at.close()
