"""The worker that embeds: ``lookalike worker embedder``, or ``python -m services.embedder.worker``.

One process has the model; units come one at a time, and the images of each are decoded by threads.
"""

import importlib

from lookalike.bootstrap_jobs import work, worker_process
from lookalike.jobs.steps import Queue
from lookalike.settings import Settings, load


def run(settings: Settings) -> None:
    """Works until SIGTERM or Ctrl-C. Raises InvalidRequest where the settings name no queue.

    Where no remote embedder is set up, torch is needed here: raises MissingExtra without it.
    """
    with worker_process(settings, "embedder-worker") as (workspace, receiving):
        if settings.embedder.url is None:
            # Now, which takes seconds, and not while the first unit and its lease wait for it.
            importlib.import_module("lookalike.embedding.torch_local")
        work(settings, workspace, [Queue.EMBED], threads=1, receiving=receiving)


if __name__ == "__main__":
    run(load())
