"""``backup``, ``verify-backup`` and ``restore`` as commands: what they say, and what they refuse."""

import shutil
from pathlib import Path

import pytest
from cli_outcome import Cli


def test_a_backup_says_what_it_has_and_what_it_copied(ready: Cli, tmp_path: Path) -> None:
    said = ready("backup", tmp_path / "backups")
    assert said.status == 0
    assert "1 galleries" in said.out
    shown = ready("backup", tmp_path / "backups", "--list")
    assert "colors" in shown.out
    (listed,) = ready("backup", tmp_path / "backups", "--list", "--json").document
    assert listed["galleries"]["colors"]["num_images"] == 24
    assert listed["damaged"] == []
    assert "parts" not in listed
    for _ in range(2):
        ready("backup", tmp_path / "backups")
    made = ready("backup", tmp_path / "backups", "--keep", 2, "--json").document
    assert len(made["removed"]) == 2
    assert len(ready("backup", tmp_path / "backups", "--list", "--json").document) == 2


def test_the_settings_may_say_where_and_how_many(ready: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "LOOKALIKE_BACKUP__TARGET" in ready("backup").error
    monkeypatch.setenv("LOOKALIKE_BACKUP__TARGET", str(tmp_path / "there"))
    monkeypatch.setenv("LOOKALIKE_BACKUP__KEEP", "1")
    for _ in range(2):
        assert ready("backup").status == 0
    assert len(ready("backup", "--list", "--json").document) == 1
    assert ready("verify-backup").status == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["backup", "store/within"], "lie in each other"),
        (["backup", "."], "lie in each other"),
        (["backup", "there.tar"], "there is a file"),
        (["backup", "new.tar", "--keep", "3"], "a file holds one"),
        (["backup", "--list", "nowhere"], "there is no folder"),
        (["restore", "nowhere.tar"], "there is no file"),
        (["restore", "empty"], "no complete backup"),
        (["restore", "backups", "--backup", "20200101T000000.000Z-abcdef"], "no backup"),
        (["restore", "backups", "--gallery", "other"], "no gallery"),
        (["restore", "backups"], "not empty"),
        (["verify-backup", "there.tar"], "no whole tar file"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(ready: Cli, tmp_path: Path, arguments: list[str], said: str) -> None:
    (tmp_path / "there.tar").write_bytes(b"not a tar file" * 100)
    (tmp_path / "empty").mkdir()
    assert ready("backup", "backups").status == 0
    before = sorted(path for path in (tmp_path / "store").rglob("*") if path.is_file())
    refused = ready(*arguments)
    assert refused.status in (1, 2)
    assert said in refused.error
    assert sorted(path for path in (tmp_path / "store").rglob("*") if path.is_file()) == before


def test_a_damaged_backup_is_status_1(ready: Cli, tmp_path: Path) -> None:
    ready("backup", "backups")
    victim = max((tmp_path / "backups" / "objects").rglob("*/*"), key=lambda path: path.stat().st_size)
    victim.write_bytes(victim.read_bytes()[:-1] + b"!")
    found = ready("verify-backup", "backups")
    assert found.status == 1
    assert "--full" in found.error
    shutil.rmtree(tmp_path / "store")
    shutil.rmtree(tmp_path / "cache", ignore_errors=True)
    assert ready("restore", "backups").status == 1
    ready_again = ready("restore", "backups")
    assert ready_again.status == 1


def test_a_backup_of_a_damaged_store_is_made_and_status_1(ready: Cli, tmp_path: Path) -> None:
    image = next((tmp_path / "store" / "galleries" / "colors" / "images").rglob("*/*"))
    image.unlink()
    said = ready("backup", "backups")
    assert said.status == 1
    assert "1 images of colors are missing" in said.err
    (listed,) = ready("backup", "backups", "--list", "--json").document
    assert len(listed["damaged"]) == 1
