"""embed, build, promote, rollback, compact: each does its step, and says when the step before it is missing."""

import shutil
from pathlib import Path

import pytest
from cli_outcome import EACH_BACKEND, INSTALLED, Cli


def live(cli: Cli) -> dict[str, str]:
    """Backend -> index_id of what the gallery serves."""
    models = cli("gallery", "show", "colors", "--json").document["live"]
    return models.get("color_edges@1", {})


def test_embedding_again_embeds_nothing(ready: Cli) -> None:
    made = ready("embed", "colors", "--json").document
    assert (made["embedded"], made["reused"], made["failed"]) == (0, 24, 0)
    assert ready("embed", "colors").out.startswith("0 embedded, 24 there already")


def test_all_backends_are_built_and_compared_with_exact_search(ready: Cli) -> None:
    built = ready("build", "colors", "--json").document
    assert [index["backend"] for index in built] == INSTALLED
    assert all(index["num_embeddings"] == 24 and index["parity"]["knn_recall"] == 1 for index in built)
    assert live(ready) == {index["backend"]: index["index_id"] for index in built}


def test_build_parameters_make_another_index_that_can_go_live_alone(ready: Cli) -> None:
    before = live(ready)
    [built] = ready("build", "colors", "-b", "faiss", "--params", '{"kind": "HNSW", "m": 8}', "--json").document
    assert built["build_params"]["m"] == 8
    assert built["index_id"] != before["faiss"]
    assert ready("promote", "colors", "-b", "faiss").out == "color_edges@1 is live in colors: faiss\n"
    assert live(ready) == {"faiss": built["index_id"]}
    assert ready("rollback", "colors").out == "live in colors: color_edges@1\n"
    assert live(ready) == before


def test_rolling_back_the_first_promotion_leaves_nothing_live(ready: Cli) -> None:
    assert ready("rollback", "colors").out == "live in colors: nothing\n"
    assert ready("rollback", "colors").error == "nothing before the present state of 'colors'"
    assert "nothing is live in 'colors'" in ready("search", "colors", "0" * 32).error


def test_compacting_without_changes_serves_the_same_indexes(ready: Cli) -> None:
    before = live(ready)
    assert ready("compact", "colors").status == 0
    assert live(ready) == before
    # Nor did it use up what can be rolled back to.
    assert ready("rollback", "colors").out == "live in colors: nothing\n"


def test_compacting_folds_additions_and_deletions_into_new_indexes(
    ready: Cli, pictures: Path, tmp_path: Path, finished: Path
) -> None:
    moved = pictures / "cold" / "blue" / "0.png"
    aside = tmp_path / "aside.png"
    shutil.move(moved, aside)
    try:
        shutil.copy(aside, pictures / "cold" / "blue" / "99.png")
        ready("ingest", "colors", pictures)
        ready("embed", "colors")
        state = ready("gallery", "show", "colors", "--json").document
        assert (state["pending_adds"], state["pending_deletes"]) == ({"color_edges@1": 1}, {"color_edges@1": 1})
        assert ready("compact", "colors").out == "colors compacted\n"
    finally:
        (pictures / "cold" / "blue" / "99.png").unlink(missing_ok=True)
        shutil.move(aside, moved)
    state = ready("gallery", "show", "colors", "--json").document
    assert (state["pending_adds"], state["pending_deletes"]) == ({"color_edges@1": 0}, {"color_edges@1": 0})
    assert set(live(ready)) == set(INSTALLED)
    found = ready("search", "colors", pictures / "cold" / "blue" / "0.png", "-k", "1", "--json").document
    assert found["hits"][0]["key"] == "cold/blue/99.png"


@pytest.mark.parametrize("backend", EACH_BACKEND)
def test_an_empty_gallery_is_embedded_built_served_and_searched(cli: Cli, pictures: Path, backend: str) -> None:
    cli("gallery", "create", "nothing")
    cli("models", "import", "baseline:color_edges")
    assert cli("embed", "nothing", "--json").document["embedded"] == 0
    [built] = cli("build", "nothing", "-b", backend, "--json").document
    assert built["num_embeddings"] == 0
    assert cli("promote", "nothing").status == 0
    found = cli("search", "nothing", pictures / "warm" / "red" / "0.png", "--json").document
    assert (found["backend"], found["hits"]) == (backend, [])
    assert "there is nothing to tune" in cli("tune", "nothing", "-b", backend).error
    assert cli("evaluate", "nothing", "--json").document["results"] == []


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["embed", "raw", "-m", "resnet18"], "there is no model 'resnet18'"),
        (["embed", "absent", "-m", "pixels16"], "there is no gallery 'absent'"),
        (["build", "raw", "-m", "pixels16"], "'raw' is not embedded under pixels16@1"),
        (["promote", "raw", "-m", "pixels16"], "'raw' is not embedded under pixels16@1"),
        (["compact", "raw", "-m", "pixels16"], "'raw' is not embedded under pixels16@1"),
        (["rollback", "raw"], "nothing was ever live in 'raw'"),
        (["rollback", "absent"], "there is no gallery 'absent'"),
        (["tune", "raw", "-b", "faiss"], "nothing is live in 'raw': build and promote an index"),
        (["evaluate", "raw"], "nothing is live in 'raw': build and promote an index"),
    ],
)
def test_a_step_before_its_turn_says_what_is_missing(cli: Cli, command: list[str], message: str) -> None:
    cli("gallery", "create", "raw")
    cli("models", "import", "baseline:pixels16")
    outcome = cli(*command)
    assert (outcome.status, outcome.error) == (2, message)


def test_promoting_before_building_says_so(cli: Cli, pictures: Path) -> None:
    cli("ingest", "raw", pictures)
    cli("models", "import", "baseline:color_edges")
    cli("embed", "raw")
    assert cli("promote", "raw").error == "no index was built from the newest embeddings of 'raw'"
    assert "color_edges@1 is not live in 'raw'" in cli("compact", "raw").error


def test_a_setting_names_the_model_of_commands_that_name_none(
    cli: Cli, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli("ingest", "raw", pictures)
    monkeypatch.setenv("LOOKALIKE_EMBEDDER__DEFAULT_MODEL", "pixels16")
    assert cli("embed", "raw", "--json").document["model"] == "pixels16@1"
    assert cli("build", "raw", "-b", "exact", "--json").document[0]["model"] == "pixels16@1"
