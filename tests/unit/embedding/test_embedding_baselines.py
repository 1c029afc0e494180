"""The built-in models: what they see and what they don't, and what they reach on photographs."""

import csv
import json

import numpy as np
import pytest

from lookalike.embedding.archive import write_archive
from lookalike.embedding.baselines import BASELINES, build_baseline
from lookalike.embedding.torch_local import TorchEmbedder
from lookalike.errors import ModelNotFound
from lookalike.images.limits import ImageLimits
from lookalike.images.prepare import prepare


@pytest.fixture(scope="module")
def embedders(tmp_path_factory):
    opened = {}
    for name in BASELINES:
        path = tmp_path_factory.mktemp("baselines") / f"{name}.mar"
        write_archive(path, *build_baseline(name))
        opened[name] = TorchEmbedder(path)
    yield opened
    for embedder in opened.values():
        embedder.close()


def plain(size: int, *colour: int) -> np.ndarray:
    return np.full((size, size, 3), colour, np.uint8)


def stripes(size: int, *, upright: bool, low: int = 0, high: int = 255) -> np.ndarray:
    line = np.where(np.arange(size) // 8 % 2, high, low).astype(np.uint8)
    image = np.broadcast_to(line[None, :] if upright else line[:, None], (size, size))
    return np.repeat(image[..., None], 3, axis=2)


def cosines(embedder: TorchEmbedder, *images: np.ndarray) -> np.ndarray:
    embeddings = embedder.embed(np.stack(images))
    return embeddings @ embeddings.T


def test_they_are_the_same_every_time():
    assert build_baseline("color_edges") == build_baseline("color_edges")


def test_unknown_names_are_refused():
    with pytest.raises(ModelNotFound, match="pixels16"):
        build_baseline("pixels17")


def test_dimensions_are_modest(embedders):
    assert embedders["pixels16"].manifest.dimension == 16 * 16 * 3
    assert embedders["color_edges"].manifest.dimension == 420


@pytest.mark.parametrize("name", list(BASELINES))
def test_any_image_has_a_direction(embedders, name):
    size = embedders[name].manifest.input_size
    extremes = [plain(size, 0, 0, 0), plain(size, 255, 255, 255), plain(size, 127, 127, 127), plain(size, 255, 0, 0)]
    embeddings = embedders[name].embed(np.stack(extremes))
    assert np.isfinite(embeddings).all()
    assert np.linalg.norm(embeddings, axis=1) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("name", list(BASELINES))
def test_float32_is_kept_for_them(embedders, name):
    assert embedders[name].precision == "float32"


def test_pixels_are_centred_on_mid_grey(embedders):
    similarity = cosines(embedders["pixels16"], plain(16, 255, 255, 255), plain(16, 0, 0, 0), plain(16, 200, 200, 200))
    assert similarity[0, 1] == pytest.approx(-1, abs=1e-5)
    assert similarity[0, 2] == pytest.approx(1, abs=1e-5)


def test_colours_are_told_apart_and_near_ones_are_nearer(embedders):
    red, orange, blue = plain(128, 200, 30, 30), plain(128, 210, 80, 30), plain(128, 30, 30, 200)
    similarity = cosines(embedders["color_edges"], red, orange, blue)
    assert similarity[0, 0] > similarity[0, 1] > similarity[0, 2]


def test_edges_are_told_apart_by_orientation_and_not_by_contrast(embedders):
    upright, lying = stripes(128, upright=True), stripes(128, upright=False)
    faint = stripes(128, upright=True, low=90, high=165)
    similarity = cosines(embedders["color_edges"], upright, lying, faint)
    assert similarity[0, 2] > similarity[0, 1] + 0.2


def test_it_matters_where_colours_are(embedders):
    left = np.concatenate([plain(128, 220, 220, 30)[:, :64], plain(128, 30, 60, 120)[:, 64:]], axis=1)
    similarity = cosines(embedders["color_edges"], left, left[:, ::-1], left)
    assert similarity[0, 1] < 0.9 < similarity[0, 2]


@pytest.mark.shared_data
@pytest.mark.parametrize(
    ("name", "subcategory", "supercategory"), [("pixels16", 0.169, 0.575), ("color_edges", 0.227, 0.599)]
)
def test_precision_at_4_on_photographs(shared_data, embedders, name, subcategory, supercategory):
    """Leave one out, by cosine, over coco-asf's photographs with a single label."""
    folder = shared_data / "data" / "coco-asf"
    taxonomy = json.loads((folder / "taxonomy.json").read_text())
    with (folder / "labels.csv").open(newline="") as file:
        labels = {row["file"]: row["single_label"] for row in csv.DictReader(file) if row["single_label"]}
    manifest = embedders[name].manifest
    images = np.stack(
        [
            prepare(
                (folder / "images" / file).read_bytes(),
                size=manifest.input_size,
                policy=manifest.resize_policy,
                limits=ImageLimits(),
            )
            for file in labels
        ]
    )
    embeddings = embedders[name].embed(images)
    similarity = embeddings @ embeddings.T
    np.fill_diagonal(similarity, -np.inf)
    nearest = np.argsort(-similarity, axis=1, kind="stable")[:, :4]
    sub = np.array(list(labels.values()))
    sup = np.array([taxonomy[label] for label in sub])
    assert len(sub) == 1395
    assert (sub[nearest] == sub[:, None]).mean() == pytest.approx(subcategory, abs=0.01)
    assert (sup[nearest] == sup[:, None]).mean() == pytest.approx(supercategory, abs=0.01)
