"""Views and targets on disk: whole parts or none, made once, and apart for whatever they depend on."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from lookalike.errors import DamagedArtifact, InvalidRequest
from lookalike.types.models import ModelManifest, ResizePolicy
from services.trainer.config import TeacherConfig
from services.trainer.teacher import Teacher, fit_reduction
from services.trainer.training_data import TaughtData
from services.trainer.view_bank import ViewBank
from services.trainer.views import ViewConfig
from services.trainer.whitening import Projection

SIDE, SMALL = 24, 16  # the teacher's input and the student's
CHANNELS = 6
CONFIG = TeacherConfig(model="any.mar", map_channels=CHANNELS, dimension=3, whiten=0.5, views_per_image=2)


class MapEmbedder:
    """The flattened map ``[6, 2, 2]`` of an image's quarters: mean, and mean of the square, of each channel."""

    def __init__(self, dimension: int = CHANNELS * 4) -> None:
        self.num_images = 0
        self.manifest = ModelManifest(
            name="quarters", dimension=dimension, input_size=SIDE, resize_policy=ResizePolicy.SQUASH, digest="0" * 64
        )

    def embed(self, images_NSSC: NDArray[np.uint8]) -> NDArray[np.float32]:
        self.num_images += len(images_NSSC)
        half = SIDE // 2
        quarters = images_NSSC.reshape(-1, 2, half, 2, half, 3).astype(np.float64) / 255
        maps = np.concatenate([quarters.mean((2, 4)), (quarters**2).mean((2, 4))], axis=-1)
        flat = maps.transpose(0, 3, 1, 2).reshape(len(maps), -1)
        return (flat / np.linalg.norm(flat, axis=1, keepdims=True)).astype(np.float32)


class FixedEmbedder(MapEmbedder):
    """Gives what it is told, whatever the images."""

    def __init__(self, embeddings_ND: NDArray[np.float32]) -> None:
        super().__init__(embeddings_ND.shape[1])
        self.embeddings = embeddings_ND

    def embed(self, images_NSSC: NDArray[np.uint8]) -> NDArray[np.float32]:
        return self.embeddings[: len(images_NSSC)]


def photographs(num_images: int = 70, seed: int = 0) -> NDArray[np.uint8]:
    """More than one batch of them."""
    return np.random.default_rng(seed).integers(0, 256, (num_images, SIDE, SIDE, 3), np.uint8)


def bank(folder: Path, embedder: MapEmbedder, images: NDArray[np.uint8] | None = None, **changes: object) -> ViewBank:
    given: dict[str, object] = {
        "data_digest": "data",
        "teacher": lambda: Teacher(embedder, CHANNELS),
        "teacher_digest": "teacher",
        "config": CONFIG,
        "side": SMALL,
        "seed": 0,
        **changes,
    }
    return ViewBank(folder, photographs() if images is None else images, **given)  # type: ignore[arg-type]


def test_embedding_and_map_by_hand() -> None:
    """Two channels on 2 x 2 places; places are scaled so that their mean has length 1."""
    # Channel 0 is 4 0 0 0 and channel 1 is 0 4 4 4: the mean is (1, 3), of length sqrt(10).
    embedder = FixedEmbedder(np.array([[4, 0, 0, 0, 0, 4, 4, 4]], np.float32))
    teacher = Teacher(embedder, 2)
    images = photographs(1)
    assert teacher.map_side == 2
    length = np.sqrt(10)
    np.testing.assert_allclose(teacher.embeddings(images), [[1 / length, 3 / length]], rtol=1e-6)
    projection = Projection(np.array([0.1, 0.2], np.float32), np.array([[2.0], [1.0]], np.float32))
    # Place 0 is (4, 0) / length, the others (0, 4) / length; minus the mean, times (2, 1).
    first, other = 2 * (4 / length - 0.1) + (0 - 0.2), 2 * (0 - 0.1) + (4 / length - 0.2)
    maps = teacher.reduced(images, projection)
    assert maps.shape == (1, 1, 2, 2)
    np.testing.assert_allclose(maps[0, 0], [[first, other], [other, other]], rtol=1e-5)
    # The mean of the map is the embedding, reduced.
    np.testing.assert_allclose(maps.mean((2, 3)), [[(first + 3 * other) / 4]], rtol=1e-5)
    np.testing.assert_allclose(
        maps.mean((2, 3)),
        (teacher.embeddings(images) - projection.mean_D) @ projection.matrix_DK,
        rtol=1e-5,
    )


def test_without_channels_the_embedding_is_reduced_as_it_is() -> None:
    embeddings = np.array([[0.6, 0.8], [1.0, 0.0]], np.float32)
    teacher = Teacher(FixedEmbedder(embeddings), None)
    assert teacher.map_side is None
    np.testing.assert_array_equal(teacher.embeddings(photographs(2)), embeddings)
    projection = Projection(np.array([0.5, 0.5], np.float32), np.array([[1.0], [-1.0]], np.float32))
    np.testing.assert_allclose(teacher.reduced(photographs(2), projection), [[-0.2], [1.0]], rtol=1e-5)


@pytest.mark.parametrize("channels", [7, 5, 1000, 12])
def test_an_embedding_that_is_no_square_map_is_refused(channels: int) -> None:
    with pytest.raises(InvalidRequest, match=f"dimension 24, which is no square map with {channels} channels"):
        Teacher(MapEmbedder(), channels)


def test_a_reduction_needs_more_images_than_components() -> None:
    with pytest.raises(InvalidRequest, match="no 6 principal components"):
        fit_reduction(Teacher(MapEmbedder(), CHANNELS), photographs(6), 6, 0.5)


def test_a_part_is_made_once(tmp_path: Path) -> None:
    embedder = MapEmbedder()
    reported: list[tuple[int, int]] = []
    part = bank(tmp_path, embedder).part(0, lambda done, total: reported.append((done, total)))
    assert reported == [(64, 70), (70, 70)]
    assert (part.pixels_MVVC.shape, part.pixels_MVVC.dtype) == ((70, SMALL, SMALL, 3), np.uint8)
    assert (part.targets.shape, part.targets.dtype) == ((70, 3, 2, 2), np.float16)
    assert embedder.num_images == 140  # once for the principal components, once for the views

    unused = MapEmbedder()
    again = bank(tmp_path, unused, config=CONFIG.model_copy(update={"views_per_image": 9, "model": "moved.mar"}))
    np.testing.assert_array_equal(again.part(0).pixels_MVVC, part.pixels_MVVC)
    np.testing.assert_array_equal(again.part(0).targets, part.targets)
    assert unused.num_images == 0
    other = again.part(1)
    assert unused.num_images == 70  # the components are kept as well
    assert (other.pixels_MVVC != part.pixels_MVVC).mean() > 0.5


def test_of_two_that_need_a_part_one_makes_it(tmp_path: Path) -> None:
    """As the ranks of a run do: each with a bank and a teacher of its own."""
    embedders = [MapEmbedder(), MapEmbedder()]
    with ThreadPoolExecutor(2) as pool:
        one, two = pool.map(lambda embedder: bank(tmp_path, embedder).part(0), embedders)
    assert sorted(embedder.num_images for embedder in embedders) == [0, 140]
    np.testing.assert_array_equal(one.pixels_MVVC, two.pixels_MVVC)


def test_targets_are_the_teachers_of_the_view_at_its_own_size(tmp_path: Path) -> None:
    """With the student's side equal to the teacher's, pixels are what the teacher saw."""
    embedder = MapEmbedder()
    part = bank(tmp_path, embedder, side=SIDE).part(0)
    teacher = Teacher(embedder, CHANNELS)
    reduction = fit_reduction(teacher, photographs(), 3, 0.5)
    expected = teacher.reduced(np.asarray(part.pixels_MVVC), reduction)
    np.testing.assert_allclose(part.targets, expected, atol=5e-3)


@pytest.mark.parametrize(
    "changes",
    [
        {"data_digest": "other"},
        {"teacher_digest": "other"},
        {"seed": 1},
        {"side": 20},
        {"config": CONFIG.model_copy(update={"dimension": 2})},
        {"config": CONFIG.model_copy(update={"views": ViewConfig(colour=0.1)})},
    ],
    ids=str,
)
def test_whatever_a_part_depends_on_gives_another_folder(tmp_path: Path, changes: dict[str, object]) -> None:
    bank(tmp_path, MapEmbedder()).part(0)
    embedder = MapEmbedder()
    bank(tmp_path, embedder, **changes).part(0)
    assert embedder.num_images == 140
    assert len(list(tmp_path.iterdir())) == 2


class Interrupted(Exception):
    pass


def test_an_interruption_leaves_no_part(tmp_path: Path) -> None:
    """Between two batches, and where not even the clearing up could run."""

    def stop(done: int, total: int) -> None:
        raise Interrupted

    with pytest.raises(Interrupted):
        bank(tmp_path, MapEmbedder()).part(0, stop)
    (folder,) = tmp_path.iterdir()
    assert sorted(path.name for path in folder.iterdir()) == [".lock", "reduction.npz"]
    left = folder / ".making-part-0000"
    left.mkdir()
    (left / "pixels.npy").write_bytes(b"half")
    part = bank(tmp_path, MapEmbedder()).part(0)
    assert sorted(path.name for path in folder.iterdir()) == [".lock", "part-0000", "reduction.npz"]
    whole = bank(tmp_path / "other", MapEmbedder()).part(0)
    np.testing.assert_array_equal(part.pixels_MVVC, whole.pixels_MVVC)
    np.testing.assert_array_equal(part.targets, whole.targets)


def test_a_part_that_is_not_of_these_photographs_is_named(tmp_path: Path) -> None:
    bank(tmp_path, MapEmbedder()).part(0)
    with pytest.raises(DamagedArtifact, match="part-0000 are damaged, remove them: 70 views for 50 photographs"):
        bank(tmp_path, MapEmbedder(), photographs(50)).part(0)
    (targets,) = tmp_path.glob("*/part-0000/targets.npy")
    targets.write_bytes(b"")
    with pytest.raises(DamagedArtifact, match="are damaged, remove them"):
        bank(tmp_path, MapEmbedder()).part(0)


def taught(tmp_path: Path, report: Callable[[int, int], None] = lambda done, total: None) -> TaughtData:
    return TaughtData(bank(tmp_path, MapEmbedder()), np.arange(70) % 3, num_parts=2, seed=0, report=report)


def test_epochs_take_the_parts_in_turn(tmp_path: Path) -> None:
    made: list[int] = []
    data = taught(tmp_path, lambda done, total: made.append(done))
    for epoch in range(4):
        steps = data.epoch(epoch, 16)
        assert sorted(np.concatenate(steps).tolist()) == list(range(70))
        assert len(made) == 2 * min(epoch + 1, 2)  # two batches for each of two parts, and none again


def test_a_view_and_its_map_are_mirrored_together(tmp_path: Path) -> None:
    data = taught(tmp_path)
    part = bank(tmp_path, MapEmbedder()).part(0)
    rows = np.array([3, 0, 66])
    mirrored = []
    for step in range(12):
        batch = data.batch(rows, 0, step)
        assert batch.targets is not None
        again = data.batch(rows, 0, step)
        np.testing.assert_array_equal(again.images_NHWC, batch.images_NHWC)
        pixels, targets = part.pixels_MVVC[rows], part.targets[rows]
        is_mirrored = not np.array_equal(batch.images_NHWC, pixels)
        if is_mirrored:
            pixels, targets = pixels[:, :, ::-1], targets[:, :, :, ::-1]
        np.testing.assert_array_equal(batch.images_NHWC, pixels)
        np.testing.assert_array_equal(batch.targets, targets)
        assert batch.rows_N.tolist() == [3, 0, 66]
        assert batch.labels_N.tolist() == [0, 0, 0]
        mirrored.append(is_mirrored)
    assert 2 <= sum(mirrored) <= 10
