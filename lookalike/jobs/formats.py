"""What jobs and plans look like in the store, by number: a worker leaves those of a later version to later workers."""

from typing import Any

from pydantic import model_validator

from lookalike.catalog.documents import Document
from lookalike.errors import NewerFormat

FORMAT = 1  # of messages, job documents and plans


class Formatted(Document):
    """A document that says its format. Reading one of a later format raises NewerFormat, whatever else is in it."""

    format: int = FORMAT

    @model_validator(mode="before")
    @classmethod
    def _is_known(cls, said: Any) -> Any:
        if isinstance(said, dict) and said.get("format", FORMAT) > FORMAT:
            raise NewerFormat(
                f"a {cls.__name__} of format {said['format']} is for a later version of Lookalike than this: "
                "bring the other processes to that version",
                format=said["format"],
            )
        return said
