"""Lines of the log: whole, with their ids, one each, and without what must not be read there."""

import json
import logging
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from telemetry_settings import Configured

from lookalike.telemetry.context import bound, carried, current
from lookalike.telemetry.logs import configure_logging, fields
from lookalike.telemetry.redaction import Redactor

KEY = "k3y-of-qdrant"
LOG = logging.getLogger("lookalike.test")


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_a_json_line_has_the_ids_and_what_the_call_said(
    configured: Configured, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging(configured(telemetry__log_format="json", telemetry__log_level="info"))
    with bound(job_id="j", gallery="g"), bound(part_id="p"):
        LOG.info("part of %d images\nembedded", 3, extra=fields(took_ms=1.5, num_images=3))
    LOG.warning("no job here")
    LOG.debug("not at this level")
    first, second = lines(capsys)
    assert first.pop("time").endswith("+00:00")
    assert first == {
        "level": "info",
        "logger": "lookalike.test",
        "message": "part of 3 images\nembedded",
        "job_id": "j",
        "gallery": "g",
        "part_id": "p",
        "took_ms": 1.5,
        "num_images": 3,
    }
    assert set(second) == {"time", "level", "logger", "message"}


def test_an_error_has_its_traceback_in_its_line(configured: Configured, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(configured(telemetry__log_format="json"))
    try:
        raise ValueError("bad https://bucket.example/a.jpg?X-Amz-Signature=abc")
    except ValueError:
        LOG.exception("it broke")
    [line] = lines(capsys)
    assert "test_telemetry_logs.py" in line["error"]
    assert line["error"].endswith("ValueError: bad https://bucket.example/a.jpg?***")


def test_a_line_for_people(configured: Configured, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(configured())
    with bound(request_id="r", job_id="j"):
        LOG.warning("a key with a line\nin it: 2026-01-01 INFO forged")
    LOG.info("quiet unless asked for")
    text = capsys.readouterr().err
    assert text.count("\n") == 1
    assert text.endswith(
        " WARNING lookalike.test: a key with a line\\nin it: 2026-01-01 INFO forged [request_id=r job_id=j]\n"
    )


def test_configured_again_each_line_is_written_once(configured: Configured, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(3):
        configure_logging(configured(telemetry__log_format="json"))
    LOG.warning("once")
    assert len(lines(capsys)) == 1


@pytest.mark.parametrize("form", ["text", "json"])
def test_no_secret_is_in_a_line(configured: Configured, capsys: pytest.CaptureFixture[str], form: str) -> None:
    settings = configured(
        qdrant__api_key=KEY, telemetry__log_format=form, telemetry__otlp_endpoint="http://me:passw0rd@collector:4318"
    )
    configure_logging(settings)
    LOG.warning("key %s", KEY, extra=fields(header=f"Bearer {KEY}"))
    LOG.warning("settings %r", settings)
    LOG.warning("at %s", settings.telemetry.otlp_endpoint)
    LOG.warning("fetching https://bucket.example/cat.jpg?X-Amz-Credential=AKIA&X-Amz-Signature=f00#x for somebody")
    printed = capsys.readouterr().err
    assert printed.count("\n") == 4
    for secret in (KEY, "passw0rd", "AKIA", "f00"):
        assert secret not in printed
    assert "https://bucket.example/cat.jpg?***" in printed
    assert "for somebody" in printed
    assert "http://***@collector:4318" in printed


def test_what_is_no_secret_stays() -> None:
    from lookalike.settings import Settings

    redact = Redactor(Settings())
    for text in ("is it /images?limit=3 or not?", "http://127.0.0.1:8000/v1/jobs", "a@b", "50 % of 3/4 @ 2"):
        assert redact(text) == text


def test_api_keys_are_masked_wherever_they_come_from() -> None:
    from lookalike.settings import Settings

    redact = Redactor(Settings())
    secret = "0123456789abcdef" * 4
    assert redact(f"got lk_0123456789ab_{secret}, not") == "got lk_0123456789ab_***, not"
    assert (
        redact(f"Cookie: lookalike_session=ls_0123456789ab_{secret}") == "Cookie: lookalike_session=ls_0123456789ab_***"
    )


def test_what_is_bound_ends_with_its_block_also_after_an_error() -> None:
    with bound(request_id="r"):
        with pytest.raises(ZeroDivisionError, match="other"), bound(request_id="other", job_id=None):
            raise ZeroDivisionError(current()["request_id"])
        assert current() == {"request_id": "r"}
    assert current() == {}


def test_threads_of_a_pool_get_what_was_bound_where_it_is_carried() -> None:
    with ThreadPoolExecutor(2) as pool:
        with bound(job_id="a"):
            first = [pool.submit(carried(current)) for _ in range(8)]
            bare = pool.submit(current)
        with bound(job_id="b"):
            second = [pool.submit(carried(current)) for _ in range(8)]
    assert [dict(future.result()) for future in first] == [{"job_id": "a"}] * 8
    assert [dict(future.result()) for future in second] == [{"job_id": "b"}] * 8
    assert bare.result() == {}
