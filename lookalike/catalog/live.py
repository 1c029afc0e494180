"""The one pointer that makes things live: ``galleries/<gallery>/live.json``.

It names the gallery version that is served and, for each model, the embedding set and indexes. ``base`` is the
set from which the indexes were built; ``newest`` is the set that has every image of the served version: what
it has beyond ``base`` is searched exactly beside the indexes, and images that are no longer in the version are
left out. ``former`` keeps what promotions replaced, latest first, for rollback.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from pydantic import Field

from lookalike.catalog import documents, keys
from lookalike.catalog.documents import Document
from lookalike.errors import GalleryNotFound, IndexNotFound, NothingToRollBack
from lookalike.storage.port import ObjectStore

MAX_FORMER = 5


class LiveModel(Document):
    """``indexes`` maps each backend to its index_id; ``forced`` says which checks a forced promotion overrode.

    ``replaces`` is the model in whose place this one came by a re-embedding: it is served to those who name it until
    it is garbage.
    """

    model: str
    model_digest: str
    base: str
    newest: str
    indexes: dict[str, str]
    promoted_at: str
    forced: tuple[str, ...] = ()
    replaces: str | None = None


class Live(Document):
    gallery: str
    version_id: str
    default_model: str | None = None
    models: dict[str, LiveModel] = Field(default_factory=dict)
    former: tuple["FormerLive", ...] = ()
    sequence: int = 0


class FormerLive(Document):
    """What one promotion replaced: None where the model was not live before."""

    model: str
    entry: LiveModel | None
    default_model: str | None


Live.model_rebuild()


class LivePointers:
    """The live pointers of one object store."""

    def __init__(self, store: ObjectStore, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._store = store
        self._now = now

    def get(self, gallery: str) -> Live | None:
        """What is live, or None while nothing has been promoted."""
        return documents.read_or_none(self._store, Live, keys.live(gallery))

    def etag(self, gallery: str) -> str | None:
        """Changes whenever what is live does."""
        info = self._store.head(keys.live(gallery))
        return None if info is None else info.etag

    def promote(
        self,
        gallery: str,
        *,
        version_id: Callable[[], str],
        entry: LiveModel,
        make_default: bool = True,
        replaces_default: bool = False,
        check: Callable[[Live | None], None] | None = None,
    ) -> Live:
        """Makes ``entry`` live, backends that it lacks being gone; what it replaces can be rolled back to.

        ``version_id`` says which gallery version is served with it. It is asked after what is live was read, in each
        try: no image that is gone comes back because somebody took it out between the two.

        ``replaces_default`` says in it that it came in place of the model that was the default until then. ``check``
        is given exactly what is replaced, None where nothing is live, and may raise to leave it so.
        """
        entry = entry.model_copy(update={"promoted_at": self._now().isoformat()})

        def move(present: Live | None) -> Live:
            if check is not None:
                check(present)
            version = version_id()
            live = present or Live(gallery=gallery, version_id=version)
            default = entry.model if make_default or live.default_model is None else live.default_model
            was = live.models.get(entry.model)
            replaced = None if was is None else was.replaces
            if replaces_default and live.default_model != entry.model:
                replaced = live.default_model
            former = FormerLive(model=entry.model, entry=was, default_model=live.default_model)
            return live.model_copy(
                update={
                    "version_id": version,
                    "default_model": default,
                    "models": {**live.models, entry.model: entry.model_copy(update={"replaces": replaced})},
                    "former": (former, *live.former)[:MAX_FORMER],
                    "sequence": live.sequence + 1,
                }
            )

        return documents.change(self._store, Live, keys.live(gallery), move)

    def roll_back(self, gallery: str) -> Live:
        """Undoes the last promotion. Raises NothingToRollBack."""

        def move(present: Live | None) -> Live:
            if present is None:
                raise NothingToRollBack(f"nothing was ever live in {gallery!r}", gallery=gallery)
            if not present.former:
                raise NothingToRollBack(f"nothing before the present state of {gallery!r}", gallery=gallery)
            last, *rest = present.former
            models = {name: model for name, model in present.models.items() if name != last.model}
            if last.entry is not None:
                models[last.model] = last.entry
            return present.model_copy(
                update={
                    "models": models,
                    "default_model": last.default_model,
                    "former": tuple(rest),
                    "sequence": present.sequence + 1,
                }
            )

        return documents.change(self._store, Live, keys.live(gallery), move)

    def forget_former(self, gallery: str, *, before: datetime, keep: int) -> Live | None:
        """Gives up rolling back to states that were replaced before ``before``, or that are not the last ``keep``.

        Models that were replaced by a re-embedding before ``before`` are no longer served. None while nothing is
        live.
        """
        if self.get(gallery) is None:
            return None

        def move(present: Live | None) -> Live:
            if present is None:
                raise GalleryNotFound(f"nothing is live in {gallery!r}", gallery=gallery)
            times = _replaced_at(present)
            former = tuple(one for one, at in zip(present.former, times, strict=True) if at >= before)[:keep]
            in_use = {present.default_model, *(one.default_model for one in former)}
            gone = {entry.replaces for entry in present.models.values() if _time(entry.promoted_at) < before} - in_use
            models = {name: entry for name, entry in present.models.items() if name not in gone}
            if former == present.former and models.keys() == present.models.keys():
                return present
            return present.model_copy(update={"former": former, "models": models, "sequence": present.sequence + 1})

        return documents.change(self._store, Live, keys.live(gallery), move)

    def announce(self, gallery: str) -> Live:
        """Makes every process look again: something beside a live index changed, such as its tuned parameters."""

        def move(present: Live | None) -> Live:
            if present is None:
                raise GalleryNotFound(f"nothing is live in {gallery!r}", gallery=gallery)
            return present.model_copy(update={"sequence": present.sequence + 1})

        return documents.change(self._store, Live, keys.live(gallery), move)

    def follow(
        self, gallery: str, *, version_id: Callable[[], str], newest: Callable[[Live], Mapping[str, str]]
    ) -> Live | None:
        """Serves another gallery version with the same indexes; ``newest`` maps models to their newest sets.

        Both are asked after what is live was read, in each try: of any number of changes at once none is undone by
        one that looked at the gallery before it and wrote after it.
        """
        if self.get(gallery) is None:
            return None

        def move(present: Live | None) -> Live:
            if present is None:
                raise GalleryNotFound(f"nothing is live in {gallery!r}", gallery=gallery)
            version, sets = version_id(), newest(present)
            models = {
                name: model.model_copy(update={"newest": sets.get(name, model.newest)})
                for name, model in present.models.items()
            }
            if version == present.version_id and models == present.models:
                return present
            return present.model_copy(
                update={"version_id": version, "models": models, "sequence": present.sequence + 1}
            )

        return documents.change(self._store, Live, keys.live(gallery), move)


def _replaced_at(live: Live) -> list[datetime]:
    """When each of ``live.former`` was replaced: by what is live, or by the entry that the next one replaced."""
    times = []
    by = dict(live.models)
    for former in live.former:
        entry = by.get(former.model)
        times.append(datetime.min.replace(tzinfo=UTC) if entry is None else _time(entry.promoted_at))
        if former.entry is None:
            by.pop(former.model, None)
        else:
            by[former.model] = former.entry
    return times


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def live_model(live: Live | None, gallery: str, model: str | None) -> LiveModel:
    """The live entry of ``model`` (``name`` or ``name@version``; None: the default). Raises IndexNotFound."""
    if live is None or not live.models:
        raise IndexNotFound(f"nothing is live in {gallery!r}: build and promote an index", gallery=gallery)
    wanted = model or live.default_model or next(iter(live.models))
    if wanted in live.models:
        return live.models[wanted]
    versions = [name for name in live.models if name.partition("@")[0] == wanted]
    if not versions:
        raise IndexNotFound(
            f"{wanted!r} is not live in {gallery!r}; live: {', '.join(sorted(live.models))}",
            gallery=gallery,
            model=wanted,
            live=sorted(live.models),
        )
    return live.models[max(versions, key=lambda name: int(name.rpartition("@")[2]))]
