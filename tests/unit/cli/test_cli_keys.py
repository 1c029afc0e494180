"""keys: what is printed once, what is listed, and what is refused."""

import re

import pytest
from cli_outcome import Cli

from lookalike.errors import InvalidRequest
from lookalike.pipeline.api_keys import parse_lasting

KEY = re.compile(r"lk_[0-9a-f]{12}_[0-9a-f]{64}")


def test_a_key_is_printed_alone_once_and_then_known_by_its_id(cli: Cli) -> None:
    made = cli("keys", "create", "the importer", "--scope", "write", "--expires", "90d")
    assert KEY.fullmatch(made.out.strip())  # alone, so that a script can keep it
    key_id = made.out.split("_")[1]
    assert key_id in made.err
    assert made.out.strip() not in made.err
    listed = cli("keys", "list")
    for text in (key_id, "the importer", "write", "active"):
        assert text in listed.out
    assert not KEY.search(listed.out)
    assert "revoked" in cli("keys", "revoke", key_id).out
    [info] = cli("keys", "list", "--json").document
    assert (info["key_id"], info["state"]) == (key_id, "revoked")


def test_for_machines_a_key_is_a_document(cli: Cli) -> None:
    made = cli("keys", "create", "x", "--requests-per-minute", "7", "--json").document
    assert KEY.fullmatch(made["key"])
    assert made["info"]["scope"] == "read"
    assert made["info"]["requests_per_minute"] == 7
    assert made["info"]["expires_at"] is None
    assert "sha256" not in str(made)


@pytest.mark.parametrize(
    "arguments",
    [
        ("create", ""),
        ("create", "x", "--scope", "root"),
        ("create", "x", "--expires", "soon"),
        ("create", "x", "--expires", "0d"),
        ("create", "x", "--expires", "11y"),
        ("create", "x", "--requests-per-minute", "0"),
        ("revoke", "0123456789ab"),
        ("revoke", "../live"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(cli: Cli, arguments: tuple[str, ...]) -> None:
    ended = cli("keys", *arguments)
    assert ended.status == 2
    assert ended.error
    assert cli("keys", "list", "--json").document == []


@pytest.mark.parametrize(("text", "seconds"), [("12h", 43200), ("1d", 86400), ("2w", 1209600), ("1y", 31536000)])
def test_how_long_a_key_lasts(text: str, seconds: float) -> None:
    assert parse_lasting(text) == seconds
    with pytest.raises(InvalidRequest):
        parse_lasting(f"-{text}")
