"""Models: references, resize policies and the manifest that every archive carries."""

import hashlib
import re
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from lookalike.errors import InvalidRequest

_NAME = r"[a-z0-9][a-z0-9_.\-]{0,63}"
_REF = re.compile(rf"^({_NAME})(?:@([1-9][0-9]{{0,8}}))?$")
NAME_PATTERN = rf"^{_NAME}$"


def check_model_name(name: str) -> str:
    """``name`` itself. Raises InvalidRequest for one that is not allowed."""
    if not re.fullmatch(_NAME, name):
        raise InvalidRequest(f"not a model name: {name!r:.100} (1 to 64 of a-z, 0-9, _, . and -)", name=name)
    return name


class ResizePolicy(StrEnum):
    """How an image of any shape becomes a square of the model's input size."""

    LETTERBOX = "letterbox"  # the study's: scale the longer side, pad the shorter with black
    SQUASH = "squash"  # scale both sides, ignoring the aspect ratio
    CENTER_CROP = "center_crop"  # scale the shorter side, cut the longer


class ModelRef(BaseModel):
    """A model's name and, once resolved, its version: ``resnet18@3``."""

    model_config = ConfigDict(frozen=True)

    name: str
    version: int | None = None

    @classmethod
    def parse(cls, text: str) -> "ModelRef":
        """``name`` or ``name@version``. Raises InvalidRequest for anything else."""
        match = _REF.match(text)
        if match is None:
            raise InvalidRequest(f"not a model: {text!r} (name or name@version)", model=text)
        return cls(name=match[1], version=int(match[2]) if match[2] else None)

    def __str__(self) -> str:
        return self.name if self.version is None else f"{self.name}@{self.version}"


class ModelManifest(BaseModel):
    """What a model archive says of itself; the version is given when it enters a store.

    ``digest`` is the SHA-256 of the exported program: two archives with the same digest give the same
    embeddings. Images are prepared as ``input_size`` (side of the square, pixels) and ``resize_policy`` say.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: int = 1
    name: str = Field(pattern=NAME_PATTERN)
    version: int | None = Field(default=None, ge=1)
    dimension: int = Field(ge=1)
    input_size: int = Field(ge=1, le=4096)
    resize_policy: ResizePolicy
    digest: str
    description: str = ""
    recipe: dict[str, object] = Field(default_factory=dict)
    training_data: str = ""
    metrics: dict[str, float] = Field(default_factory=dict)
    created_at: str = ""
    licence: str = ""

    @property
    def embedding_digest(self) -> str:
        """Names the embeddings: equal for two models that prepare and embed every image alike, whatever their name."""
        said = f"{self.digest}/{self.input_size}/{self.resize_policy.value}"
        return hashlib.sha256(said.encode()).hexdigest()

    @property
    def ref(self) -> ModelRef:
        return ModelRef(name=self.name, version=self.version)
