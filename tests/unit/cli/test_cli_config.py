"""config: every setting, its value, and where it came from."""

from pathlib import Path

import pytest
from cli_outcome import Cli

from lookalike.settings import names


def test_every_setting_is_printed_with_its_source(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lookalike.toml").write_text('[gateway]\nport = 8765\n[build]\nbackends = ["exact", "annoy"]\n')
    monkeypatch.setenv("LOOKALIKE_IMAGES__MAX_BYTES", "1234567")
    said = cli("config", "--json").document
    assert [setting["name"] for setting in said] == names()
    by_name = {setting["name"]: (setting["value"], setting["source"]) for setting in said}
    assert by_name["gateway.port"] == (8765, "lookalike.toml")
    assert by_name["build.backends"] == (["exact", "annoy"], "lookalike.toml")
    assert by_name["images.max_bytes"] == (1234567, "LOOKALIKE_IMAGES__MAX_BYTES")
    assert by_name["gateway.threads"] == (40, "default")
    assert by_name["qdrant.url"] == (None, "default")
    table = cli("config").out
    for text in ("gateway.port", "8765", "lookalike.toml", "exact, annoy", "1234567", "default"):
        assert text in table


def test_a_secret_is_masked_in_both_forms(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOOKALIKE_QDRANT__API_KEY", "correct-horse")
    for said in (cli("config"), cli("config", "--json")):
        assert "correct-horse" not in said.out + said.err
        assert "*****" in said.out
