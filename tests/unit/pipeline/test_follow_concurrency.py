"""Images that are taken out at once: none is served again once it is gone, whoever takes out others meanwhile."""

import threading
from pathlib import Path

from labelled_gallery import GALLERY, LabelledGallery, random_gallery

from lookalike.pipeline.index_gallery import build_indexes, promote_indexes
from lookalike.pipeline.promote import Checks, follow_gallery

THREADS, EACH = 4, 15


def test_what_is_gone_stays_gone_while_others_go(tmp_path: Path) -> None:
    gallery = LabelledGallery(tmp_path)
    at = gallery.at
    images, embeddings = random_gallery(THREADS * EACH)
    gallery.put(images)
    made = gallery.embed("model@1", embeddings)
    promote_indexes(at, GALLERY, made, build_indexes(at, GALLERY, made, ["exact"]), checks=Checks(0.0))
    keys = [record.key for record in at.galleries.records(at.galleries.version(GALLERY))]
    gone: list[str] = []
    came_back: set[str] = set()

    def take_out(number: int) -> None:
        for key in keys[number::THREADS]:
            at.galleries.apply(GALLERY, {key: None})
            follow_gallery(at.galleries, at.sets, at.pointers, GALLERY)
            gone.append(key)
            known = set(gone)
            live = at.pointers.get(GALLERY)
            assert live is not None
            served = at.galleries.records(at.galleries.version(GALLERY, live.version_id))
            came_back.update(known.intersection(record.key for record in served))

    threads = [threading.Thread(target=take_out, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(gone) == len(keys)
    assert came_back == set()
    at.close()
