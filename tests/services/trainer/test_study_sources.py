"""Which images a study looks at."""

import pytest

from lookalike.errors import InvalidSource
from lookalike.galleries.port import SourceImage, SourceProblem
from lookalike.types.images import Labels
from services.trainer.study.sources import ChosenImages


class Listed:
    """40 cats, 20 dogs, 5 without a label of their own, and a problem."""

    description = "a list"

    def __init__(self):
        self.closed = False
        names = ["cat"] * 40 + ["dog"] * 20 + [None] * 5
        self.entries = [
            SourceImage(f"{number:03}", f"{number:03}", Labels.single(name)) for number, name in enumerate(names)
        ]
        self.entries.append(SourceProblem("zzz", "invalid_image", "no image"))

    def images(self):
        return iter(self.entries)

    def read(self, image):
        return image.key.encode()

    def close(self):
        self.closed = True


def taken(**options):
    made = ChosenImages(Listed(), **options)
    return [entry for entry in made.images() if isinstance(entry, SourceImage)]


def test_a_sample_keeps_the_shares_of_the_classes_and_the_order():
    chosen = taken(size=13, seed=3)
    names = [image.labels.subcategory for image in chosen]
    assert [names.count(name) for name in ("cat", "dog", None)] == [8, 4, 1]
    keys = [image.key for image in chosen]
    assert keys == sorted(keys)
    assert keys == [image.key for image in taken(size=13, seed=3)]
    assert keys != [image.key for image in taken(size=13, seed=4)]


def test_images_without_a_label_of_their_own_can_be_left_out():
    assert len(taken(single_label=True)) == 60
    names = [image.labels.subcategory for image in taken(single_label=True, size=30)]
    assert [names.count(name) for name in ("cat", "dog", None)] == [20, 10, 0]


def test_more_than_there_is_takes_everything_and_problems_are_passed_on():
    assert len(taken(size=1000)) == 65
    assert len(taken()) == 65
    made = ChosenImages(Listed(), size=1)
    assert [type(entry) for entry in made.images()] == [SourceImage, SourceProblem]
    assert made.description == "a list, 1 of them"


def test_it_reads_and_closes_what_it_is_made_of():
    source = Listed()
    made = ChosenImages(source, size=2)
    assert made.read(next(made.images())).decode() in {image.key for image in source.entries}
    made.close()
    assert source.closed


def test_nothing_left_is_said():
    source = Listed()
    source.entries = source.entries[60:]
    with pytest.raises(InvalidSource, match="a list"):
        ChosenImages(source, single_label=True)
