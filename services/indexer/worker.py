"""The worker of everything but embedding: ``lookalike worker indexer``, or ``python -m services.indexer.worker``.

It plans what is to be embedded, ingests, builds indexes, evaluates, promotes and collects garbage; no torch.
"""

from lookalike.bootstrap_jobs import work, worker_process
from lookalike.jobs.steps import Queue
from lookalike.settings import Settings, load


def run(settings: Settings) -> None:
    """Works until SIGTERM or Ctrl-C. Raises InvalidRequest where the settings name no queue."""
    with worker_process(settings, "indexer-worker") as workspace:
        work(settings, workspace, [Queue.INDEX, Queue.EVALUATE], threads=settings.queue.index_threads)


if __name__ == "__main__":
    run(load())
