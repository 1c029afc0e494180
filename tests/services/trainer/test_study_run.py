"""A whole study of the demo gallery: its figures counted again by hand, its files, what is left out and why."""

import base64
import io
import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lookalike.bootstrap import wire
from lookalike.embedding.baselines import BASELINES
from lookalike.errors import InvalidRequest, InvalidSource, MissingExtra
from lookalike.galleries.demo.generate import generate
from lookalike.galleries.folder import FolderSource
from lookalike.galleries.open import open_source
from lookalike.pipeline.index_gallery import newest_set
from lookalike.pipeline.models import import_model
from lookalike.pipeline.workspace import Workspace
from lookalike.settings import load
from services.trainer.study.backends import LIBRARIES, SERVED
from services.trainer.study.models import Origin, RawEmbeddings, StudyModel
from services.trainer.study.orchestrate import GALLERY, run_study
from services.trainer.study.result import PublishedFigure, StudyResult

torch.set_num_threads(1)
NUM_IMAGES = 90
PUBLISHED = PublishedFigure(
    model="pixels", backend="annoy", level="supercategory", precision=0.125, source="made up by a test"
)
UNAVAILABLE = StudyModel(
    "resnext_wsl", Origin.UNAVAILABLE, None, "its <weights> are not here: give them with --weights"
)
GHOST = StudyModel("ghost", Origin.TRAINED, "ghost@3", "trained, it is said")


def raw_pixels(images_NSSC):
    return images_NSSC.transpose(0, 3, 1, 2).reshape(len(images_NSSC), -1).astype(np.float32) / 127.5 - 1


@dataclass(frozen=True)
class Study:
    at: Workspace
    folder: Path
    annotations: Path
    result: StudyResult

    def again(self, workspace=None, name="again", **options):
        source = open_source(str(self.annotations), images_root=None, fetcher=self.at.fetch)
        given = {"models": models(self.folder)[:1], "folder": self.folder / name, "num_draws": 50, **options}
        try:
            return run_study(workspace or self.at, source, **given)
        finally:
            source.close()


def models(folder):
    curve = folder / "events.jsonl"
    curve.write_text("".join(json.dumps({"event": "step", "step": n, "loss": 1 / (n + 1)}) + "\n" for n in range(9)))
    return [
        StudyModel("pixels", Origin.BUILT_IN, "pixels16", "no training", raw=raw_pixels),
        UNAVAILABLE,
        StudyModel("edges", Origin.BUILT_IN, "color_edges@1", "<b>none</b>", events=curve),
        GHOST,
    ]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Study]:
    folder = tmp_path_factory.mktemp("study")
    environment = {"LOOKALIKE_STORAGE__FOLDER": f"{folder}/store", "LOOKALIKE_STORAGE__CACHE": f"{folder}/cache"}
    at = wire(load(environment, folder / "none.toml"))
    for name in BASELINES:
        import_model(at, f"baseline:{name}")
    drawn = generate(folder / "drawn", num_images=NUM_IMAGES, workers=1)
    made = Study(at, folder, drawn.annotations, None)
    options = {"models": models(folder), "title": "<Study> & co", "published": [PUBLISHED], "num_draws": 500}
    yield replace(made, result=made.again(name="out", **options))
    at.close()


def by_hand(study: Study, model: str) -> dict[tuple[str, str], tuple[float, float]]:
    """Mean precision@4 and recall@4 by protocol and level, leave-one-out by cosine, in plain Python."""
    embedding_set = newest_set(study.at, GALLERY, model)
    matrix = study.at.artifacts.matrix(embedding_set)
    records = {
        bytes.fromhex(one.image_id.replace("-", "")): one.labels
        for one in study.at.galleries.records(study.at.galleries.version(GALLERY))
    }
    labels = [records[row.tobytes()] for row in matrix.ids_N16]
    similarities = np.asarray(matrix.embeddings_ND, np.float64) @ np.asarray(matrix.embeddings_ND, np.float64).T
    found = {}
    for level in ("subcategory", "supercategory"):
        names = [getattr(one, level) for one in labels]
        scores = {"standard": [], "paper": []}
        for query, name in enumerate(names):
            order = [row for row in np.argsort(-similarities[query], kind="stable") if row != query]
            relevant = [names[row] == name for row in order]
            four, ten = sum(relevant[:4]), sum(relevant[:10])
            scores["standard"].append((four / 4, four / sum(relevant)))
            scores["paper"].append((four / 10, four / ten if ten else 0))
        for protocol, values in scores.items():
            found[protocol, level] = tuple(np.mean(values, axis=0))
    return found


@pytest.mark.parametrize(("name", "model"), [("pixels", "pixels16"), ("edges", "color_edges")])
def test_the_table_has_the_figures_that_are_counted_by_hand(study, name, model):
    expected = by_hand(study, model)
    exact = [row for row in study.result.rows if (row.model, row.backend) == (name, "exact")]
    assert len(exact) == len(expected) == 4
    for row in exact:
        assert (row.precision.mean, row.recall.mean) == pytest.approx(expected[row.protocol, row.level], abs=1e-9)
        assert row.precision.low < row.precision.mean < row.precision.high
        assert row.num_scored == NUM_IMAGES


def test_the_table_has_a_line_for_everything_and_theirs_where_it_is_given(study):
    rows = study.result.rows
    assert len(rows) == len({(row.model, row.backend, row.protocol, row.level) for row in rows}) == 2 * 4 * 2 * 2
    theirs = [row for row in rows if row.study_precision is not None]
    (line,) = theirs
    assert (line.model, line.backend, line.protocol, line.level) == ("pixels", "annoy", "paper", "supercategory")
    assert (line.study_precision, line.study_source) == (0.125, PUBLISHED.source)
    metrics = {entry.name: (entry.metric, entry.params["metric"]) for entry in study.result.backends}
    assert metrics == {
        "exact": ("cosine", "cosine"),
        "faiss": ("Euclidean", "l2"),
        "annoy": ("angular", "angular"),
        "qdrant": ("cosine", "cosine"),
    }
    live = study.at.pointers.get(GALLERY)
    for entry in live.models.values():
        for backend, index in entry.indexes.items():
            assert study.at.indexes.get(GALLERY, index).build_params["metric"] == metrics[backend][1]


def test_on_normalised_embeddings_exact_and_faiss_find_the_same(study):
    for analysis in study.result.analyses:
        alike = [
            effect
            for effect in analysis.effects
            if (effect.kind, effect.of) in {("served", "faiss, served"), ("approximation", "faiss Flat, l2, alone")}
            or (effect.kind == "metric" and effect.against == "cosine, normalised")
        ]
        assert len(alike) == 2 * 4
        for effect in alike:
            assert (effect.difference.mean, effect.difference.low, effect.difference.high) == (0, 0, 0), effect
            assert effect.knn_recall == pytest.approx(1, abs=0.002)


def test_raw_embeddings_show_the_other_side(study):
    pixels, edges = study.result.analyses
    assert pixels.raw
    assert pixels.raw_agreement == pytest.approx(1, abs=1e-5)
    assert not edges.raw
    assert edges.raw_agreement is None
    assert {cell.normalised for cell in edges.grid} == {True}
    cells = {(cell.level, cell.metric, cell.normalised): cell for cell in pixels.grid}
    assert len(cells) == 2 * 3 * 2
    assert cells["subcategory", "euclidean", True].same_hits == 1
    assert cells["subcategory", "euclidean", False].same_hits < 0.99
    assert cells["subcategory", "cosine", False].precision == cells["subcategory", "cosine", True].precision


def test_the_steps_between_two_backends_add_up(study):
    pixels, edges = study.result.analyses
    assert [(one.level, one.order) for one in pixels.ladders] == [
        (level, order)
        for level in ("subcategory", "supercategory")
        for order in ("metric first", "normalisation first")
    ]
    for ladder in (*pixels.ladders, *edges.ladders):
        assert sum(step.difference.mean for step in ladder.steps) == pytest.approx(ladder.total.mean, abs=1e-12)
        assert ladder.steps[-1].to == "annoy, 50 trees, alone"
        assert ladder.three_low <= ladder.total.mean <= ladder.three_high
    values = {(one.order, step.name): step.difference.mean for one in pixels.ladders[:2] for step in one.steps}
    # Either change alone takes away all that the other would.
    assert values["metric first", "metric"] == values["normalisation first", "normalisation"] != 0
    assert values["metric first", "normalisation"] == values["normalisation first", "metric"] == 0
    assert {one.start for one in edges.ladders} == {"euclidean, normalised"}


def test_three_queries_are_drawn_for_backends_and_between_models(study):
    pixels, _ = study.result.analyses
    for drawn in (pixels.three_queries, study.result.between_models):
        assert (drawn.num_draws, drawn.num_queries) == (500, NUM_IMAGES)
        for level in ("subcategory", "supercategory"):
            assert sum(one.win_share for one in drawn.means if one.level == level) == pytest.approx(1)
        for pair in drawn.pairs:
            assert pair.right + pair.wrong + pair.tied == pytest.approx(1)
            assert pair.low <= pair.difference <= pair.high
    exact_and_faiss = [
        one for one in pixels.three_queries.pairs if one.better + one.worse == "exact, servedfaiss, served"
    ]
    assert [one.tied for one in exact_and_faiss] == [1, 1]
    # Each supercategory has as many images here: what three queries estimate is the mean of the table.
    means = {(one.level, one.system): one.expected for one in study.result.between_models.means}
    for row in study.result.rows:
        if (row.backend, row.protocol) == ("exact", "standard"):
            assert row.precision.mean == pytest.approx(means[row.level, row.model])


def test_models_that_could_not_be_had_are_named_with_the_reason(study):
    entries = {entry.name: entry for entry in study.result.models}
    assert list(entries) == ["pixels", "resnext_wsl", "edges", "ghost"]
    assert (entries["resnext_wsl"].origin, entries["resnext_wsl"].said) == ("unavailable", UNAVAILABLE.said)
    assert (entries["ghost"].origin, entries["ghost"].ref) == ("unavailable", None)
    assert "ghost@3" in entries["ghost"].said
    assert (entries["pixels"].ref, entries["pixels"].dimension, entries["pixels"].num_embedded) == (
        "pixels16@1",
        768,
        NUM_IMAGES,
    )
    assert -1 < entries["pixels"].mean_cosine < 0.999
    assert not entries["pixels"].collapsed


class Page(HTMLParser):
    """What is in a page; every tag that is opened is closed, in order."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.images, self.text, self._open = Counter(), [], "", []
        self.feed(text)
        self.close()
        assert not self._open

    def handle_starttag(self, tag, attrs):
        self.tags[tag] += 1
        if tag == "img":
            self.images.append(dict(attrs))
        elif tag != "meta":
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_files(study):
    out = study.folder / "out"
    assert StudyResult.model_validate_json((out / "study.json").read_text()) == study.result
    html = (out / "study.html").read_text()
    page = Page(html)
    assert {"script", "link", "iframe", "b"}.isdisjoint(page.tags)
    assert "http-equiv" not in html
    for said in ("<Study> & co", UNAVAILABLE.said, "<b>none</b>", "not given here", *study.result.findings):
        assert said in page.text
    named = {study.result.histogram}
    named |= {name for entry in study.result.models for name in (entry.sheet, entry.loss_curve) if name}
    assert named == {"subcategories.png", "retrieved-1.jpg", "retrieved-3.jpg", "loss-3.png"}
    assert {path.name for path in out.iterdir()} == named | {"study.json", "study.html"}
    shown = []
    for image in page.images:
        assert image["alt"]
        kind, _, encoded = image["src"].partition(",")
        assert re.fullmatch("data:image/(png|jpeg);base64", kind)
        shown.append(base64.b64decode(encoded))
        with Image.open(io.BytesIO(shown[-1])) as opened:
            opened.load()
    assert sorted(shown) == sorted((out / name).read_bytes() for name in named)
    for text in (html, (out / "study.json").read_text()):
        assert str(study.folder) not in text


def test_a_study_again_says_the_same(study):
    made = study.again(num_draws=500)
    ours = [row.model_copy(update={"study_precision": None, "study_source": None}) for row in study.result.rows]
    assert list(made.rows) == [row for row in ours if row.model == "pixels"]
    assert made.analyses == study.result.analyses[:1]
    assert made.between_models is None


def test_a_sample_of_queries_is_the_evaluations_own(study):
    made = study.again(num_queries=40, seed=5)
    (exact,) = [
        row for row in made.rows if (row.backend, row.protocol, row.level) == ("exact", "standard", "subcategory")
    ]
    (cell,) = [
        one
        for one in made.analyses[0].grid
        if (one.level, one.metric, one.normalised) == ("subcategory", "cosine", True)
    ]
    assert exact.num_scored == made.num_queries == 40
    assert cell.precision.mean == pytest.approx(exact.precision.mean, abs=1e-12)


def test_raw_embeddings_can_be_given_by_key(study):
    matrix = study.at.artifacts.matrix(newest_set(study.at, GALLERY, "pixels16"))
    keys = {
        bytes.fromhex(one.image_id.replace("-", "")): one.key
        for one in study.at.galleries.records(study.at.galleries.version(GALLERY))
    }
    names = tuple(keys[row.tobytes()] for row in matrix.ids_N16)
    lengths = np.arange(1, NUM_IMAGES + 1, dtype=np.float32)[:, None]
    model = replace(models(study.folder)[0], raw=RawEmbeddings(names, matrix.embeddings_ND * lengths))
    (analysis,) = study.again(models=[model]).analyses
    assert analysis.raw_agreement == pytest.approx(1, abs=1e-6)
    cells = {(cell.metric, cell.normalised): cell for cell in analysis.grid if cell.level == "subcategory"}
    assert cells["inner product", True].same_hits == 1
    assert cells["inner product", False].same_hits < 0.9  # the long ones win
    short = replace(model, raw=RawEmbeddings(names[1:], np.asarray(matrix.embeddings_ND[1:])))
    with pytest.raises(InvalidRequest, match="1 images have no raw embedding"):
        study.again(models=[short])
    with pytest.raises(InvalidRequest, match="have shape"):
        study.again(models=[replace(model, raw=lambda images_NSSC: np.zeros((1, 2), np.float32))])


def test_a_backend_that_is_not_installed_is_named_and_left_out(study):
    def backend(name):
        if name == "annoy":
            raise MissingExtra("annoy", "annoy")
        return study.at.backend(name)

    made = study.again(replace(study.at, backend=backend))
    missing = {one.name: one.unavailable_because for one in (*made.backends, *made.libraries)}
    assert {name for name, reason in missing.items() if reason} == {
        one.name for one in (*SERVED, *LIBRARIES) if one.backend == "annoy"
    }
    assert "pip install" in missing["annoy"]
    assert {row.backend for row in made.rows} == {"exact", "faiss", "qdrant"}
    assert {ladder.steps[-1].to for ladder in made.analyses[0].ladders} == {"exact, served"}
    assert missing["annoy"] in Page((study.folder / "again" / "study.html").read_text()).text
    with pytest.raises(InvalidRequest, match="none of the backends"):
        study.again(replace(study.at, backend=backend), backends=[one for one in SERVED if one.backend == "annoy"])


def test_a_study_of_no_model_still_says_why(study):
    made = study.again(models=[UNAVAILABLE], name="none")
    assert (made.rows, made.analyses, made.evaluations, made.findings) == ((), (), (), ())
    assert UNAVAILABLE.said in Page((study.folder / "none" / "study.html").read_text()).text


def test_refusals(study, tmp_path):
    twice = models(study.folder)[:1] * 2
    with pytest.raises(InvalidRequest, match="two of the models are 'pixels'"):
        study.again(models=twice)
    with pytest.raises(InvalidRequest, match="models in the store"):
        study.again(models=[twice[0], replace(twice[0], name="another")])
    with pytest.raises(InvalidRequest, match="two of the backends"):
        study.again(backends=[SERVED[0], SERVED[0]])
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff no picture")
    with pytest.raises(InvalidSource, match="none of 1 files"):
        run_study(study.at, FolderSource(tmp_path), models=[], folder=tmp_path / "out", gallery="broken")
