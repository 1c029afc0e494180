"""The evaluation gate: nothing measurably worse takes the place of what is live, unless forced, and then it is said."""

from dataclasses import replace

import numpy as np
import pytest
from labelled_gallery import BACKENDS, GALLERY, NO_CHECKS, LabelledGallery, photo, random_gallery
from PIL import Image

from lookalike.catalog.live import LivePointers
from lookalike.errors import GateFailed, InvalidRequest, ParityFailed
from lookalike.evaluation.labels import Level
from lookalike.galleries.folder import FolderSource
from lookalike.pipeline.evaluate import evaluate_gallery
from lookalike.pipeline.gate_rule import GateRule
from lookalike.pipeline.index_gallery import build_indexes, embed_gallery, newest_set, promote_indexes
from lookalike.pipeline.ingest import ingest
from lookalike.pipeline.models import import_model
from lookalike.pipeline.promote import Checks, promote, roll_back

RULE = GateRule(k=5)
GATE = Checks(min_parity=0.8, gate=RULE)


@pytest.fixture
def gallery(tmp_path):
    made = LabelledGallery(tmp_path)
    yield made
    made.at.close()


@pytest.fixture
def sets(gallery):
    """Embedding sets of one gallery: ``good@1`` like its labels, ``worse@1`` with much noise, ``bad@1`` noise alone."""
    images, embeddings = random_gallery(120)
    gallery.put(images)
    rng = np.random.default_rng(5)
    noise = {key: rng.standard_normal(16) for key in embeddings}
    return {
        "good": gallery.embed("good@1", embeddings),
        "worse": gallery.embed("worse@1", {key: row + 4 * noise[key] for key, row in embeddings.items()}),
        "bad": gallery.embed("bad@1", noise),
    }


def test_a_worse_model_is_refused_with_the_figures_and_nothing_changes(gallery, sets):
    before = gallery.promote(sets["good"], ["exact"])
    with pytest.raises(GateFailed, match=r"precision@5 \(subcategory\)") as refusal:
        gallery.promote(sets["bad"], ["exact"], GATE)
    assert gallery.at.pointers.get(GALLERY) == before
    said = refusal.value.details
    # The gate's figures are those of an evaluation of both, over all labelled images.
    gallery.promote(sets["bad"], ["exact"])
    figures = {
        result.model: result.metrics["precision@5"].mean
        for result in evaluate_gallery(gallery.at, GALLERY, k=5).document.results
        if (result.level, result.relevance) == ("subcategory", "multi-label")
    }
    assert said["live"] == pytest.approx(figures["good@1"], abs=1e-12)
    assert said["candidate"] == pytest.approx(figures["bad@1"], abs=1e-12)
    assert said["live"] - said["candidate"] > RULE.max_drop


def test_force_promotes_and_keeps_what_it_overrode(gallery, sets):
    gallery.promote(sets["good"], ["exact"])
    live = gallery.promote(sets["bad"], ["exact"], replace(GATE, force=True))
    assert live.default_model == "bad@1"
    (overridden,) = live.models["bad@1"].forced
    assert "precision@5 (subcategory)" in overridden
    assert gallery.at.pointers.get(GALLERY).models["bad@1"].forced == (overridden,)
    assert live.models["good@1"].forced == ()


def test_nothing_is_recorded_where_force_had_nothing_to_override(gallery, sets):
    gallery.promote(sets["bad"], ["exact"])
    assert gallery.promote(sets["good"], ["exact"], replace(GATE, force=True)).models["good@1"].forced == ()


def test_an_equal_model_passes_without_any_tolerance(gallery, sets):
    _, embeddings = random_gallery(120)
    gallery.promote(sets["good"])
    same = gallery.embed("same@1", embeddings)
    live = gallery.promote(same, BACKENDS, Checks(0.8, replace(RULE, max_drop=0.0)))
    assert live.default_model == "same@1"


def test_a_better_model_passes_and_the_gate_then_measures_against_it(gallery, sets):
    gallery.promote(sets["bad"], ["exact"])
    gallery.promote(sets["good"], ["exact"], GATE)
    with pytest.raises(GateFailed):
        gallery.promote(sets["worse"], ["exact"], GATE)


def test_the_tolerance_decides(gallery, sets):
    gallery.promote(sets["good"], ["exact"])
    with pytest.raises(GateFailed) as refusal:
        gallery.promote(sets["worse"], ["exact"], GATE)
    drop = refusal.value.details["live"] - refusal.value.details["candidate"]
    with pytest.raises(GateFailed):
        gallery.promote(sets["worse"], ["exact"], Checks(0.8, replace(RULE, max_drop=drop - 1e-6)))
    assert gallery.promote(sets["worse"], ["exact"], Checks(0.8, replace(RULE, max_drop=drop + 1e-6)))


def test_level_k_and_sample_are_those_of_the_rule(gallery, sets):
    gallery.promote(sets["good"], ["exact"])
    rule = GateRule(level=Level.SUPERCATEGORY, k=3, num_queries=40, max_drop=0.0)
    with pytest.raises(GateFailed) as refusal:
        gallery.promote(sets["bad"], ["exact"], Checks(0.8, rule))
    said = refusal.value.details
    assert (said["level"], said["k"]) == ("supercategory", 3)
    assert 20 < said["num_queries"] <= 40  # the unlabelled of the sample are not scored


def test_there_is_no_gate_while_nothing_is_live(gallery, sets):
    assert gallery.promote(sets["bad"], ["exact"], GATE).default_model == "bad@1"


def test_a_gallery_without_labels_has_nothing_to_compare(gallery):
    gallery.put({f"{number}": photo() for number in range(6)})
    rows = {f"{number}": np.eye(6)[number] for number in range(6)}
    gallery.promote(gallery.embed("one@1", rows), ["exact"])
    assert gallery.promote(gallery.embed("two@1", rows), ["exact"], GATE).default_model == "two@1"


def test_another_backend_is_compared_with_the_one_that_is_live(gallery, sets):
    gallery.promote(sets["good"], ["exact"])
    with pytest.raises(GateFailed) as refusal:
        gallery.promote(sets["bad"], ["annoy"], GATE)
    assert str(refusal.value.details["live_index"]).startswith("exact-")
    assert str(refusal.value.details["index"]).startswith("annoy-")


def test_the_candidate_is_measured_over_what_is_served_now(gallery, sets):
    """Images that were added and deleted since the candidate's build are in the comparison as they are now."""
    images, embeddings = random_gallery(120)
    gallery.promote(sets["good"], ["exact"])
    built = build_indexes(gallery.at, GALLERY, sets["worse"], ["exact"])
    gallery.take(*list(images)[:60])
    gallery.put({"new": photo("cat")})
    for model in ("good@1", "worse@1"):
        gallery.embed(model, {**embeddings, "new": embeddings["0000"]})
    with pytest.raises(GateFailed) as refusal:
        promote_indexes(gallery.at, GALLERY, sets["worse"], built, checks=GATE)
    served = gallery.at.serving.refresh(GALLERY)
    labelled = sum(bool(record.labels.subcategories) for _, record in served.table.records())
    assert refusal.value.details["num_queries"] == labelled - 1  # the only cake has nothing to find


def test_parity_is_checked_first_and_can_be_forced_too(gallery, sets):
    gallery.promote(sets["good"], ["exact"])
    poor = [
        manifest.model_copy(update={"parity": manifest.parity.model_copy(update={"knn_recall": 0.5})})
        for manifest in build_indexes(gallery.at, GALLERY, sets["bad"], ["exact"])
    ]
    with pytest.raises(ParityFailed, match=r"0.500, below 0.8"):
        promote(gallery.at, sets["bad"], poor, GATE)
    promote(gallery.at, sets["bad"], poor, Checks(0.5))
    roll_back(gallery.at.galleries, gallery.at.sets, gallery.at.pointers, GALLERY)
    live = promote(gallery.at, sets["bad"], poor, replace(GATE, force=True))
    parity, gate = live.models["bad@1"].forced
    assert "below 0.8" in parity
    assert "precision@5" in gate


def test_what_cannot_be_promoted_cannot_be_forced(gallery, sets):
    built = build_indexes(gallery.at, GALLERY, sets["good"], ["exact"])
    for manifests, match in ((built, "another embedding set"), ([], "no index")):
        with pytest.raises(InvalidRequest, match=match):
            promote(gallery.at, sets["bad"], manifests, replace(NO_CHECKS, force=True))
    assert gallery.at.pointers.get(GALLERY) is None


def test_a_proposal_is_opened_over_the_version_that_is_served_and_no_other(gallery, sets):
    gallery.promote(sets["good"], ["exact"])
    served = gallery.at.serving.refresh(GALLERY)
    with pytest.raises(ValueError, match="another gallery version"):
        served.with_live(served.live.model_copy(update={"version_id": "0" * 32}))


class Overtaken(LivePointers):
    """Another promotion is written just before the first one that is asked for."""

    def __init__(self, store, entry):
        super().__init__(store)
        self.entry = entry

    def promote(self, gallery, **said):
        if self.entry is not None:
            entry, self.entry = self.entry, None
            super().promote(gallery, version_id=said["version_id"], entry=entry)
        return super().promote(gallery, **said)


def test_who_is_overtaken_is_judged_again_by_what_is_live_then(gallery, sets):
    """``worse`` passes the gate against ``bad``, but ``good`` goes live before it is written."""
    entry = gallery.promote(sets["good"], ["exact"]).models["good@1"]
    gallery.promote(sets["bad"], ["exact"])
    at = replace(gallery.at, pointers=Overtaken(gallery.at.store, entry))
    with pytest.raises(GateFailed) as refusal:
        promote_indexes(at, GALLERY, sets["worse"], build_indexes(at, GALLERY, sets["worse"], ["exact"]), checks=GATE)
    assert refusal.value.details["live_index"] == entry.indexes["exact"]
    assert gallery.at.pointers.get(GALLERY).default_model == "good@1"
    # The other way round nothing stands against it, and both are written.
    gallery.promote(sets["bad"], ["exact"])
    at = replace(gallery.at, pointers=Overtaken(gallery.at.store, gallery.at.pointers.get(GALLERY).models["bad@1"]))
    live = promote_indexes(
        at, GALLERY, sets["worse"], build_indexes(at, GALLERY, sets["worse"], ["exact"]), checks=GATE
    )
    assert live.default_model == "worse@1"
    assert [former.model for former in live.former[:2]] == ["worse@1", "bad@1"]


def test_raw_pixels_do_not_replace_colours_and_edges(tmp_path):
    """The built-in models on stripes of three directions, shifted at random: pixels see nothing in common."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[0:64, 0:64]
    for name, across in (("level", rows), ("upright", columns), ("slanting", rows + columns)):
        folder = tmp_path / "images" / name
        folder.mkdir(parents=True)
        for number in range(16):
            wave = 100 * np.sin((across + rng.uniform(0, 60)) * rng.uniform(0.35, 0.6)) + rng.normal(0, 20, (64, 64))
            Image.fromarray(np.clip(wave + 128, 0, 255).astype(np.uint8)).save(folder / f"{number}.png")
    at = LabelledGallery(tmp_path).at
    source = FolderSource(tmp_path / "images")
    ingest(at.store, at.galleries, at.ledger, "stripes", source, limits=at.limits)
    indexes = {}
    for name in ("color_edges", "pixels16"):
        import_model(at, f"baseline:{name}")
        embed_gallery(at, "stripes", name)
        made = newest_set(at, "stripes", name)
        indexes[name] = made, build_indexes(at, "stripes", made, ["exact"])
    assert promote_indexes(at, "stripes", *indexes["color_edges"]).default_model == "color_edges@1"
    with pytest.raises(GateFailed):  # by default: the settings' gate
        promote_indexes(at, "stripes", *indexes["pixels16"])
    assert promote_indexes(at, "stripes", *indexes["color_edges"]).default_model == "color_edges@1"
    forced = promote_indexes(at, "stripes", *indexes["pixels16"], checks=Checks(0.8, at.gate, force=True))
    assert forced.models["pixels16@1"].forced
    at.close()
