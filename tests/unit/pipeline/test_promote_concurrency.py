"""Promotions at once: every one is written, in some order, whoever makes them."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest
from labelled_gallery import GALLERY, LabelledGallery, random_gallery

from lookalike.catalog.live import LivePointers
from lookalike.pipeline.gate_rule import GateRule
from lookalike.pipeline.index_gallery import build_indexes, promote_indexes
from lookalike.pipeline.promote import Checks
from lookalike.storage.local import LocalStore

PROCESS = Path(__file__).with_name("promoting_process.py")


def test_promotions_in_threads_are_all_live(tmp_path):
    """With the gate, which reads what is live before each write."""
    gallery = LabelledGallery(tmp_path)
    images, embeddings = random_gallery(40)
    gallery.put(images)
    names = [f"model{number}" for number in range(6)]
    sets = [gallery.embed(f"{name}@1", embeddings) for name in names]
    built = [build_indexes(gallery.at, GALLERY, made, ["exact"]) for made in sets]
    start = threading.Barrier(len(names))
    failures = []

    def go(made, indexes):
        start.wait()
        try:
            promote_indexes(gallery.at, GALLERY, made, indexes, checks=Checks(0.8, GateRule(k=3)))
        except BaseException as error:  # noqa: BLE001 -- the test fails with it below
            failures.append(error)

    threads = [threading.Thread(target=go, args=pair) for pair in zip(sets, built, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    live = gallery.at.pointers.get(GALLERY)
    assert sorted(live.models) == [f"{name}@1" for name in names]
    assert live.default_model == live.former[0].model  # the last one written
    # Each replaced exactly what the one before had made: none was written over unseen.
    assert [former.default_model for former in live.former] == [former.model for former in live.former[1:]] + [
        next(name for name in live.models if name not in {former.model for former in live.former})
    ]
    gallery.at.close()


@pytest.mark.parametrize("num_processes", [4])
def test_promotions_in_processes_are_all_live(tmp_path, num_processes):
    each = 5
    command = [sys.executable, str(PROCESS), str(tmp_path)]
    processes = [
        subprocess.Popen([*command, str(number), str(each)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for number in range(num_processes)
    ]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        process.communicate(timeout=120)
        assert process.returncode == 0
    live = LivePointers(LocalStore(tmp_path)).get("busy")
    assert live.sequence == num_processes * each
    assert sorted(live.models) == sorted(f"m{number}-{one}@1" for number in range(num_processes) for one in range(each))
    assert live.default_model == live.former[0].model
