"""A model leaves one store as a file and enters another as the same model."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lookalike.bootstrap import wire
from lookalike.cli.app import app
from lookalike.embedding.archive import read_manifest, write_archive
from lookalike.embedding.baselines import build_baseline
from lookalike.errors import DamagedArtifact, InvalidRequest, ModelNotFound
from lookalike.pipeline.models import export_archive, import_model, register_archive
from lookalike.pipeline.workspace import Workspace
from lookalike.settings import load


def environment(folder: Path) -> dict[str, str]:
    return {"LOOKALIKE_STORAGE__FOLDER": f"{folder}/store", "LOOKALIKE_STORAGE__CACHE": f"{folder}/cache"}


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    made = wire(load(environment(tmp_path), tmp_path / "none.toml"))
    import_model(made, "baseline:pixels16")
    yield made
    made.close()


def test_export_and_register_give_the_same_embeddings_digest(workspace: Workspace, tmp_path: Path) -> None:
    exported = export_archive(workspace, "pixels16", tmp_path / "out.mar")
    assert read_manifest(tmp_path / "out.mar") == exported.model_copy(update={"version": None})
    other = wire(load(environment(tmp_path / "other"), tmp_path / "none.toml"))
    registered = register_archive(other, tmp_path / "out.mar")
    other.close()
    assert registered == exported
    assert registered.embedding_digest == exported.embedding_digest
    assert register_archive(workspace, tmp_path / "out.mar") == exported  # known already: no second version


def test_the_command_writes_the_named_version(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program, manifest = build_baseline("color_edges")
    written = write_archive(tmp_path / "second.mar", program, manifest.model_copy(update={"name": "pixels16"}))
    workspace.models.add(tmp_path / "second.mar", written)
    for name, value in environment(tmp_path).items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    for version, dimension in ((1, 768), (2, 420)):
        done = CliRunner().invoke(app, ["--json", "models", "export", f"pixels16@{version}", "v.mar"])
        assert done.exit_code == 0, done.output
        assert json.loads(done.stdout)["version"] == version
        assert read_manifest(tmp_path / "v.mar").dimension == dimension


def test_a_damaged_archive_is_not_passed_on(workspace: Workspace, tmp_path: Path) -> None:
    (archive,) = (tmp_path / "store").rglob("*.mar")
    data = bytearray(archive.read_bytes())
    data[len(data) // 2] ^= 1
    archive.write_bytes(data)
    with pytest.raises(DamagedArtifact):
        export_archive(workspace, "pixels16", tmp_path / "out.mar")
    assert not list(tmp_path.glob("*out.mar*"))


def test_another_models_archive_in_its_place_is_not_passed_on(workspace: Workspace, tmp_path: Path) -> None:
    (archive,) = (tmp_path / "store").rglob("*.mar")
    write_archive(archive, *build_baseline("color_edges"))
    with pytest.raises(DamagedArtifact, match="another model's"):
        export_archive(workspace, "pixels16", tmp_path / "out.mar")


def test_what_cannot_be_written_or_is_not_there_is_said(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(InvalidRequest, match="cannot write"):
        export_archive(workspace, "pixels16", tmp_path / "taken")
    (tmp_path / "file").touch()
    with pytest.raises(InvalidRequest, match="cannot write"):
        export_archive(workspace, "pixels16", tmp_path / "file" / "out.mar")
    with pytest.raises(ModelNotFound):
        export_archive(workspace, "pixels17", tmp_path / "out.mar")


def test_importing_leaves_nothing_behind_in_the_cache(workspace: Workspace, tmp_path: Path) -> None:
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
