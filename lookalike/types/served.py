"""What a server of models says of those that it serves."""

from pydantic import BaseModel, ConfigDict


class ServedModel(BaseModel):
    """One registered model; ``ready`` of its ``workers`` answer. Without workers it waits to be asked for."""

    model_config = ConfigDict(frozen=True)

    model: str
    workers: int
    ready: int


class Round(BaseModel):
    """One comparison of the served models with the registered ones.

    ``actions`` says in words what was done and ``errors`` what could not be; ``models`` is what it left, by the name
    under which each is served. ``complete``: nothing is left to do or to wait for.
    """

    model_config = ConfigDict(frozen=True)

    actions: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()
    models: dict[str, ServedModel] = {}
    complete: bool = False
