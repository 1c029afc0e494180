"""promote: its parity check and its gate as options, and what --force says and keeps."""

import json
from pathlib import Path

import numpy as np
import pytest
from cli_outcome import Cli
from PIL import Image

WORSE = ["promote", "stripes", "-m", "pixels16", "-b", "exact"]


@pytest.fixture(scope="module")
def stripes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stripes of three directions, shifted at random: pixels of the same label have nothing in common, edges do."""
    rng = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp("stripes") / "images"
    rows, columns = np.mgrid[0:64, 0:64]
    for name, across in (("level", rows), ("upright", columns), ("slanting", rows + columns)):
        (folder / name).mkdir(parents=True)
        for number in range(12):
            wave = 100 * np.sin((across + rng.uniform(0, 60)) * rng.uniform(0.35, 0.6)) + rng.normal(0, 20, (64, 64))
            Image.fromarray(np.clip(wave + 128, 0, 255).astype(np.uint8)).save(folder / name / f"{number}.png")
    return folder


@pytest.fixture
def live(cli: Cli, stripes: Path) -> Cli:
    """color_edges is live, pixels16 is built."""
    cli("ingest", "stripes", stripes)
    for model in ("color_edges", "pixels16"):
        cli("models", "import", f"baseline:{model}")
        cli("embed", "stripes", "-m", model)
        cli("build", "stripes", "-m", model, "-b", "exact")
        if model == "color_edges":
            assert cli("promote", "stripes", "-m", model).status == 0
    return cli


def test_the_gate_is_on_and_refuses_what_is_worse(live: Cli) -> None:
    refused = live(*WORSE)
    assert refused.status == 2
    assert refused.error.startswith("precision@10 (subcategory) of exact-")
    assert live("gallery", "show", "stripes", "--json").document["default_model"] == "color_edges@1"


def test_force_says_what_it_overrode(live: Cli) -> None:
    made = live(*WORSE, "--force")
    assert made.status == 0
    assert made.out == "pixels16@1 is live in stripes: exact\n"
    assert made.err.startswith("forced: precision@10 (subcategory) of exact-")


def test_the_gate_can_be_switched_off_and_its_rule_be_given(live: Cli) -> None:
    assert "precision@3 (subcategory)" in live(*WORSE, "--gate-k", "3", "--gate-queries", "30").error
    # Folders of one level give no supercategory: there is nothing to compare.
    assert live(*WORSE, "--gate-level", "supercategory").status == 0
    live("rollback", "stripes")
    assert live(*WORSE, "--max-drop", "1").status == 0
    live("rollback", "stripes")
    assert live(*WORSE, "--no-gate").status == 0
    live("rollback", "stripes")
    assert "switched off" in live(*WORSE, "--no-gate", "--max-drop", "0.1").error


def test_settings_are_the_defaults_of_the_options(live: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOOKALIKE_GATE__K", "4")
    assert "precision@4 (subcategory)" in live(*WORSE).error
    monkeypatch.setenv("LOOKALIKE_GATE__ENABLED", "false")
    assert "precision@4 (subcategory)" in live(*WORSE, "--gate").error
    assert live(*WORSE).status == 0


def test_least_parity_is_an_option_and_forced_like_the_gate(live: Cli, tmp_path: Path) -> None:
    """So small a gallery is searched exactly on every backend: the manifest says otherwise for this test."""
    [built] = live("build", "stripes", "-b", "annoy", "--json").document
    path = tmp_path / "store" / "galleries" / "stripes" / "indexes" / built["index_id"] / "index.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    manifest["parity"]["knn_recall"] = 0.75
    path.write_text(json.dumps(manifest), encoding="utf-8")
    command = ["promote", "stripes", "-b", "annoy"]
    assert "has knn recall@10 0.750, below 0.8" in live(*command).error
    assert "has knn recall@10 0.750, below 0.76" in live(*command, "--min-parity", "0.76").error
    assert live(*command, "--force").err.startswith(f"forced: {built['index_id']} has knn recall@10 0.750")
    assert live(*command, "--min-parity", "0.7").status == 0
