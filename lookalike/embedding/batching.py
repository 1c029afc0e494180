"""How a server merges requests for one model: TorchServe's ``model-config.yaml``, which an archive may have."""

import re

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lookalike.errors import InvalidArchive

_TEXT = "batchSize: {requests}\nmaxBatchDelay: {delay_ms}\n"
_READ = re.compile(r"batchSize: ([0-9]{1,6})\nmaxBatchDelay: ([0-9]{1,6})\n")


class Batching(BaseModel):
    """At most ``requests`` are answered together, and one waits at most ``delay_ms`` for others."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    requests: int = Field(ge=1, le=256)
    delay_ms: int = Field(ge=1, le=1000)

    def text(self) -> bytes:
        """As TorchServe reads it."""
        return _TEXT.format(requests=self.requests, delay_ms=self.delay_ms).encode()

    @classmethod
    def parse(cls, text: bytes) -> "Batching":
        """Raises InvalidArchive for anything that :meth:`text` does not write."""
        found = _READ.fullmatch(text.decode("ascii", errors="replace"))
        try:
            if found is None:
                raise InvalidArchive("the archive's model-config.yaml is not one that Lookalike writes")
            return cls(requests=int(found[1]), delay_ms=int(found[2]))
        except ValidationError as error:
            raise InvalidArchive(f"the archive's model-config.yaml has sizes that are not allowed: {error}") from error
