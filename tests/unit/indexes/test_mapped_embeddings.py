"""Letting go of mapped embeddings changes no value and needs no map."""

from pathlib import Path

import numpy as np
import pytest

from lookalike.indexes.mapped import let_go


def resident_bytes() -> int:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("RssFile:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no RssFile")


def test_pages_leave_this_process_and_come_back(tmp_path: Path) -> None:
    if not Path("/proc/self/status").exists():
        pytest.skip("resident memory is read from /proc: Linux")
    values = np.random.default_rng(0).standard_normal((8192, 1024), np.float32)  # 32 MiB
    np.save(tmp_path / "embeddings.npy", values)
    mapped = np.load(tmp_path / "embeddings.npy", mmap_mode="r")
    assert mapped.sum() == values.sum()
    before = resident_bytes()
    let_go(mapped)
    assert resident_bytes() < before - 24 * 2**20
    np.testing.assert_array_equal(mapped, values)


def test_what_was_changed_in_a_private_copy_is_kept(tmp_path: Path) -> None:
    np.save(tmp_path / "embeddings.npy", np.zeros((4, 4), np.float32))
    private = np.load(tmp_path / "embeddings.npy", mmap_mode="c")
    private[0] = 1
    let_go(private)
    assert (private[0] == 1).all()
    let_go(np.ones((2, 2), np.float32))
