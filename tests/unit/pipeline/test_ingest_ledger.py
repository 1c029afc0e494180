"""The failure ledger."""

from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lookalike.jobs.ledger import INGEST, Failure, Ledger, embed_stage
from lookalike.storage.local import LocalStore

TEXT = st.text(st.characters(codec="utf-8"), max_size=30)


def failure(key: str, stage: str = INGEST) -> Failure:
    return Failure(key=key, stage=stage, code="invalid_image", reason="cut off")


def test_entries_are_by_key_and_each_write_replaces_its_stage(tmp_path: Path) -> None:
    ledger = Ledger(LocalStore(tmp_path))
    assert ledger.read("g", INGEST) == {}
    ledger.write("g", INGEST, [failure("b"), failure("a")])
    assert list(ledger.read("g", INGEST)) == ["a", "b"]
    ledger.write("g", INGEST, [failure("c")])
    assert list(ledger.read("g", INGEST)) == ["c"]
    ledger.write("g", INGEST, [])
    assert ledger.read("g", INGEST) == {}
    assert list(ledger.store.list("")) == []


def test_all_has_every_stage_of_one_gallery(tmp_path: Path) -> None:
    ledger = Ledger(LocalStore(tmp_path))
    stage = embed_stage("d1" * 32)
    ledger.write("g", stage, [failure("z", stage)])
    ledger.write("g", INGEST, [failure("a")])
    ledger.write("other", INGEST, [failure("a")])
    assert [(entry.stage, entry.key) for entry in ledger.all("g")] == [(stage, "z"), (INGEST, "a")]
    assert ledger.all("nothing") == []


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(keys=st.sets(TEXT, max_size=5), reason=TEXT)
def test_any_text_comes_back_as_it_was(keys: set[str], reason: str, tmp_path: Path) -> None:
    """Line ends inside, above all those that only Unicode knows: an entry is one line."""
    ledger = Ledger(LocalStore(tmp_path))
    written = [
        Failure(key=key, stage=INGEST, code="x", reason=reason, attempts=3, version=key, source="s") for key in keys
    ]
    ledger.write("g", INGEST, written)
    assert sorted(ledger.read("g", INGEST).values(), key=lambda entry: entry.key) == sorted(
        written, key=lambda entry: entry.key
    )
