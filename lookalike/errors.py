"""Errors, named for the condition.

Each has a stable ``code``, which users and programs may rely on, and a ``kind``, from which a transport
chooses its own form: the gateway an HTTP status, the command line an exit status. No transport's numbers
stand here.
"""

from enum import StrEnum
from typing import ClassVar


class ErrorKind(StrEnum):
    """What a caller can do about an error."""

    INVALID = "invalid"  # the request is wrong: change it
    NOT_FOUND = "not_found"  # it names what does not exist
    CONFLICT = "conflict"  # it is right, but not with the present state
    TOO_LARGE = "too_large"  # over a limit
    UNSUPPORTED = "unsupported"  # well-formed, but of a type that is not read
    UNAUTHENTICATED = "unauthenticated"  # nobody knows who asks: send a key
    FORBIDDEN = "forbidden"  # whoever asks may not do this
    LIMITED = "limited"  # too often: wait
    UNAVAILABLE = "unavailable"  # a part it needs is down or not installed: try later
    INTERNAL = "internal"  # our fault


class LookalikeError(Exception):
    """Base of all expected errors.

    Args:
        message: one sentence for people; names the offending value.
        **details: values for programs, JSON-serialisable.
    """

    code: ClassVar[str] = "internal"
    kind: ClassVar[ErrorKind] = ErrorKind.INTERNAL

    def __init__(self, message: str, **details: object) -> None:
        super().__init__(message)
        self.message = message
        self.details = details


class InvalidRequest(LookalikeError):
    """A request, argument or setting is malformed or contradicts itself."""

    code = "invalid_request"
    kind = ErrorKind.INVALID


class UnknownParameter(InvalidRequest):
    """A backend parameter that its capabilities do not declare."""

    code = "unknown_parameter"


class ParameterOutOfRange(InvalidRequest):
    """A declared parameter with a value of the wrong type or outside its range."""

    code = "parameter_out_of_range"


class CapabilityMissing(InvalidRequest):
    """What is asked for is well-formed, but this backend declares that it cannot do it."""

    code = "capability_missing"


class InvalidFilter(InvalidRequest):
    """A filter that cannot be understood."""

    code = "invalid_filter"


class InvalidEmbedding(InvalidRequest):
    """An embedding with another dimension than the index, with NaN or infinity, or of length zero."""

    code = "invalid_embedding"


class InvalidImage(LookalikeError):
    """Bytes that are not a whole image of a format that is read."""

    code = "invalid_image"
    kind = ErrorKind.INVALID


class DeadlyImage(InvalidImage):
    """A process that decoded this image died of it, or did not come to an end."""

    code = "deadly_image"


class UnsupportedImage(InvalidImage):
    """Bytes that are no image, or one of a format that is not read."""

    code = "unsupported_image"
    kind = ErrorKind.UNSUPPORTED


class ImageTooLarge(InvalidImage):
    """More bytes or pixels than the limits allow; raised before anything is decoded."""

    code = "image_too_large"
    kind = ErrorKind.TOO_LARGE


class UrlRefused(InvalidRequest):
    """An image URL whose scheme, host or address is not allowed."""

    code = "url_refused"


class UrlUnreachable(LookalikeError):
    """An image URL that did not answer with an image within the limits of time and size."""

    code = "url_unreachable"
    kind = ErrorKind.INVALID


class InvalidSource(InvalidRequest):
    """A gallery source that does not exist or cannot be read."""

    code = "invalid_source"


class SourceRefused(InvalidRequest):
    """A gallery source on the server's disk that no setting allows to be read for a client."""

    code = "source_refused"


class InvalidCursor(InvalidRequest):
    """A cursor that no earlier page gave."""

    code = "invalid_cursor"


class UnknownJobKind(InvalidRequest):
    code = "unknown_job_kind"


class InvalidArchive(InvalidRequest):
    """A model archive that is damaged, of another format version, or holds what is never loaded."""

    code = "invalid_archive"


class KeyMissing(LookalikeError):
    """Keys are on, and the request has none."""

    code = "key_missing"
    kind = ErrorKind.UNAUTHENTICATED


class KeyRefused(LookalikeError):
    """An API key that is none, or that has been revoked or has expired."""

    code = "key_refused"
    kind = ErrorKind.UNAUTHENTICATED


class ScopeMissing(LookalikeError):
    """The key is right, but not for this; ``scope`` is the one that is needed."""

    code = "scope_missing"
    kind = ErrorKind.FORBIDDEN


class RateLimited(LookalikeError):
    """More requests than this key, or this address, may make; ``retry_after_s`` is when there is room again."""

    code = "rate_limited"
    kind = ErrorKind.LIMITED


class GalleryNotFound(LookalikeError):
    code = "gallery_not_found"
    kind = ErrorKind.NOT_FOUND


class ImageNotFound(LookalikeError):
    code = "image_not_found"
    kind = ErrorKind.NOT_FOUND


class ModelNotFound(LookalikeError):
    code = "model_not_found"
    kind = ErrorKind.NOT_FOUND


class BackendNotFound(LookalikeError):
    code = "backend_not_found"
    kind = ErrorKind.NOT_FOUND


class IndexNotFound(LookalikeError):
    """The gallery serves no index of this model and backend, or none has been built."""

    code = "index_not_found"
    kind = ErrorKind.NOT_FOUND


class JobNotFound(LookalikeError):
    code = "job_not_found"
    kind = ErrorKind.NOT_FOUND


class EvaluationNotFound(LookalikeError):
    code = "evaluation_not_found"
    kind = ErrorKind.NOT_FOUND


class KeyNotFound(LookalikeError):
    """There is no API key with this identifier."""

    code = "key_not_found"
    kind = ErrorKind.NOT_FOUND


class BackupNotFound(LookalikeError):
    """There is no complete backup, or none of this name."""

    code = "backup_not_found"
    kind = ErrorKind.NOT_FOUND


class ObjectNotFound(LookalikeError):
    """The object store holds nothing under this key."""

    code = "object_not_found"
    kind = ErrorKind.NOT_FOUND


class AlreadyExists(LookalikeError):
    code = "already_exists"
    kind = ErrorKind.CONFLICT


class BackupRunning(LookalikeError):
    """Another process writes to the same place of backups."""

    code = "backup_running"
    kind = ErrorKind.CONFLICT


class StoreNotEmpty(LookalikeError):
    """A restore would mix what it brings with what is there."""

    code = "store_not_empty"
    kind = ErrorKind.CONFLICT


class PreconditionFailed(LookalikeError):
    """A conditional write found another object, or another version of it, than it expected."""

    code = "precondition_failed"
    kind = ErrorKind.CONFLICT


class ParityFailed(LookalikeError):
    """An index does not return the neighbours that exact search returns often enough to be promoted."""

    code = "parity_failed"
    kind = ErrorKind.CONFLICT


class GateFailed(LookalikeError):
    """A candidate is measurably worse than what is live, and promotion was not forced."""

    code = "gate_failed"
    kind = ErrorKind.CONFLICT


class TargetOutOfReach(LookalikeError):
    """No search parameters of this index reach the knn recall that is wanted."""

    code = "target_out_of_reach"
    kind = ErrorKind.CONFLICT


class NothingToRollBack(LookalikeError):
    code = "nothing_to_roll_back"
    kind = ErrorKind.CONFLICT


class WrongJobState(LookalikeError):
    """A job that has ended cannot be cancelled, one that has not ended or has succeeded cannot be retried."""

    code = "wrong_job_state"
    kind = ErrorKind.CONFLICT


class JobCancelled(LookalikeError):
    """Raised inside a job at its next report of progress after somebody cancelled it."""

    code = "cancelled"
    kind = ErrorKind.CONFLICT


class JobInterrupted(LookalikeError):
    """The process that ran the job ended first; a retry goes on after what is done."""

    code = "interrupted"
    kind = ErrorKind.UNAVAILABLE


class WorkerLost(LookalikeError):
    """Workers died again and again at the same piece of a job."""

    code = "worker_lost"
    kind = ErrorKind.UNAVAILABLE


class NewerFormat(LookalikeError):
    """A job or a plan that a later version of Lookalike has written, which is for processes of that version."""

    code = "newer_format"
    kind = ErrorKind.UNAVAILABLE


class DamagedArtifact(LookalikeError):
    """Stored bytes do not have the digest under which they were stored."""

    code = "damaged_artifact"


class MissingExtra(LookalikeError):
    """A part of Lookalike needs a library that is not installed."""

    code = "missing_extra"
    kind = ErrorKind.UNAVAILABLE

    def __init__(self, library: str, extra: str) -> None:
        super().__init__(f"{library} is not installed: pip install 'lookalike[{extra}]'", library=library, extra=extra)


class DiskFull(LookalikeError):
    """This machine's disk has no room for a copy that is needed here, and nothing of ours that could go."""

    code = "disk_full"
    kind = ErrorKind.UNAVAILABLE


class DependencyUnavailable(LookalikeError):
    """A server that this request needs (Qdrant, S3, the embedder) does not answer."""

    code = "dependency_unavailable"
    kind = ErrorKind.UNAVAILABLE


class ServerBusy(LookalikeError):
    """A server is there, but has no room or is not ready for this request at the moment: come again soon."""

    code = "server_busy"
    kind = ErrorKind.UNAVAILABLE


class TrainingDiverged(LookalikeError):
    """A loss or a weight of a training run is not finite; its last checkpoint is the last good one."""

    code = "training_diverged"
    kind = ErrorKind.CONFLICT
