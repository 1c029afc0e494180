"""The worker of everything but embedding: ``lookalike worker indexer``, or ``python -m services.indexer.worker``.

It plans what is to be embedded, ingests, builds indexes, evaluates, promotes and collects garbage; no torch.
"""

from lookalike.bootstrap_jobs import work, worker_process
from lookalike.jobs.steps import Queue
from lookalike.settings import Settings, load


def run(settings: Settings) -> None:
    """Works until SIGTERM or Ctrl-C. Raises InvalidRequest where the settings name no queue."""
    with worker_process(settings, "indexer-worker") as (workspace, receiving):
        queues = [Queue.INDEX, Queue.EVALUATE]
        work(settings, workspace, queues, threads=settings.queue.index_threads, receiving=receiving)


if __name__ == "__main__":
    run(load())
