"""gallery create, list, show, delete; ingest; failures."""

import shutil
from pathlib import Path

from cli_outcome import Cli
from PIL import Image


def test_a_gallery_is_made_shown_listed_and_deleted(cli: Cli) -> None:
    made = cli("gallery", "create", "trips", "--description", "summer")
    assert (made.status, made.out) == (0, "gallery trips created\n")
    assert cli("gallery", "create", "trips").error == "there is a gallery 'trips' already"
    shown = cli("gallery", "show", "trips", "--json").document
    assert (shown["name"], shown["description"], shown["num_images"], shown["live"]) == ("trips", "summer", 0, {})
    assert "trips" in cli("gallery", "list").out
    assert [gallery["name"] for gallery in cli("gallery", "list", "--json").document] == ["trips"]
    assert cli("gallery", "delete", "trips").status == 0
    assert cli("gallery", "show", "trips").error == "there is no gallery 'trips'"
    assert cli("gallery", "list", "--json").document == []


def test_ingest_says_what_it_did_and_keeps_what_failed(cli: Cli, pictures: Path) -> None:
    made = cli("ingest", "trips", pictures)
    assert made.status == 0
    assert made.out == "24 images in trips: 24 added, 0 updated, 0 unchanged, 0 removed, 1 failed\n"
    again = cli("ingest", "trips", pictures, "--json").document
    assert (again["added"], again["unchanged"], again["failed"]) == (0, 24, 1)
    [failure] = cli("failures", "trips", "--json").document
    assert (failure["key"], failure["stage"], failure["attempts"]) == ("warm/red/broken.jpg", "ingest", 1)
    table = cli("failures", "trips").out
    assert "warm/red/broken.jpg" in table
    assert failure["code"] in table
    state = cli("gallery", "show", "trips", "--json").document
    assert state["labels"]["subcategory"] == {"blue": 8, "green": 8, "red": 8}


def test_what_failed_is_tried_again_when_asked(cli: Cli, pictures: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    shutil.copytree(pictures, own)
    broken = own / "warm" / "red" / "broken.jpg"
    cli("ingest", "trips", own)
    assert cli("ingest", "trips", own, "--retry-failed", "--json").document["failed"] == 1
    [failure] = cli("failures", "trips", "--json").document
    assert failure["attempts"] == 2
    Image.new("RGB", (40, 30), "red").save(broken)
    mended = cli("ingest", "trips", own, "--json").document
    assert (mended["added"], mended["failed"], mended["num_images"]) == (1, 0, 25)
    assert cli("failures", "trips", "--json").document == []


def test_an_image_that_left_the_folder_leaves_the_gallery(cli: Cli, pictures: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    shutil.copytree(pictures, own)
    cli("ingest", "trips", own)
    (own / "cold" / "blue" / "0.png").unlink()
    made = cli("ingest", "trips", own, "--json").document
    assert (made["removed"], made["num_images"]) == (1, 23)
