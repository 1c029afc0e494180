"""A process that embeds may be killed at any moment: nothing is lost but the part that it was at."""

import random
import subprocess
import sys
from pathlib import Path

import pytest
from small_gallery import PART_IMAGES, BlockEmbedder, SmallGallery

NUM_IMAGES = 100
KILLS = 6
LEEWAY = 6  # steps that the process may do while the signal is on its way


def run_and_kill(folder: Path, after_lines: int) -> tuple[int, bool]:
    """Kills the process (SIGKILL) after so many lines; how many images it embedded, and whether it was killed."""
    program = Path(__file__).with_name("embed_until_killed.py")
    with subprocess.Popen(
        [sys.executable, str(program), str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("." * (after_lines + LEEWAY))
        process.stdin.flush()
        lines = []
        for line in process.stdout:
            lines.append(line.split())
            if len(lines) == after_lines:
                process.kill()
    embedded = sum(int(line[1]) for line in lines if line[0] == "embed")
    return embedded, process.returncode == -9


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_killed_again_and_again_it_still_ends_with_what_an_undisturbed_run_gives(tmp_path, seed):
    """Moments are drawn from the lines that a run prints, several a part, so that kills hit every step of it."""
    undisturbed = SmallGallery(tmp_path / "undisturbed")
    killed = SmallGallery(tmp_path / "killed")
    for gallery in (undisturbed, killed):
        gallery.put(*range(NUM_IMAGES))
    undisturbed.embed(BlockEmbedder())
    draw = random.Random(seed)
    embedded = kills = 0
    for _ in range(KILLS):
        number, was_killed = run_and_kill(tmp_path / "killed", draw.randrange(1, 25))
        embedded += number
        kills += was_killed
    assert kills >= 2  # a run has about 80 steps
    last = BlockEmbedder()
    killed.embed(last)
    embedded += last.num_embedded
    assert NUM_IMAGES <= embedded <= NUM_IMAGES + kills * PART_IMAGES
    assert killed.by_item() == undisturbed.by_item()
    again = BlockEmbedder()
    report = killed.embed(again)
    assert (again.num_embedded, report.embedded, report.reused) == (0, 0, NUM_IMAGES)


def test_a_part_counts_only_with_its_manifest(tmp_path):
    """Files of a part that was cut off stand in its folder and are neither searched nor counted."""
    gallery = SmallGallery(tmp_path)
    gallery.put(*range(3 * PART_IMAGES))
    gallery.embed(BlockEmbedder())
    whole = gallery.by_item()
    orphan = gallery.newest().parts[1].part_id
    (folder,) = [path for path in (tmp_path / "store").rglob(orphan) if path.is_dir()]
    (folder / "part.json").unlink()
    embedder = BlockEmbedder()
    report = gallery.embed(embedder)
    assert (embedder.num_embedded, report.embedded, report.reused) == (PART_IMAGES, PART_IMAGES, 2 * PART_IMAGES)
    assert gallery.by_item() == whole


def test_what_a_killed_run_finished_is_used_although_the_gallery_changed_since(tmp_path):
    """New images move every later part's beginning; the finished ones are found by what they hold."""
    killed = SmallGallery(tmp_path)
    killed.put(*range(10, NUM_IMAGES))
    embedded, was_killed = run_and_kill(tmp_path, 30)
    assert was_killed
    killed.put(*range(10))
    last = BlockEmbedder()
    killed.embed(last)
    assert NUM_IMAGES <= embedded + last.num_embedded <= NUM_IMAGES + PART_IMAGES
    assert len(killed.by_item()) == NUM_IMAGES
