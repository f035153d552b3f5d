"""Everything that can go wrong, told by the core; `service/errors.py` alone says how HTTP calls it.

TsugikiError
├── Invalid                   the input cannot be accepted as given; carries the places
├── Unauthenticated           no key, or not one of ours
├── Forbidden                 a good key without the scope
├── NotFound                  unknown, or another tenant's: the two are never told apart
├── Conflict                  the state of the object forbids it
│   └── NoVersion             nothing is live under this alias yet
├── TooLarge                  more bytes or rows than a limit allows
├── UnsupportedType           a content type this resource does not read
├── Overloaded                a bounded queue is full; try again after `retry_after_s`
├── Unavailable               not ready, or a store is away; try again after `retry_after_s`
├── OutOfMemory               there was no memory for the work; another time, or for less of it, there may be
├── StorageFull               the disk has no room; reads and predictions go on
├── Cancelled                 the caller or an operator stopped the work
├── ArtifactCorrupt           stored bytes are not what was published
├── ParityMissed              an export does not answer as the service does, and is refused
└── WrongFeatureSpace         vectors of two spaces were about to meet (invariant I8)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Issue:
    """One finding about one place: `pointer` is a JSON pointer into what the caller sent."""

    code: str
    pointer: str
    detail: str
    fix: str = ""
    evidence: tuple[str, ...] = ()


class TsugikiError(Exception):
    """`detail` says what was given and what was expected, `fix` what to do; neither quotes a payload."""

    code: ClassVar[str] = "internal"

    def __init__(self, detail: str, *, fix: str = "", code: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.fix = fix
        self.reason = code or self.code

    def as_data(self) -> dict[str, str]:
        """For the row of a job that ended by it; `kind` says which branch of the tree."""
        return {"kind": self.code, "code": self.reason, "detail": self.detail, "fix": self.fix}


class Invalid(TsugikiError):
    code: ClassVar[str] = "invalid"

    def __init__(self, detail: str, *, fix: str = "", code: str | None = None, issues: Sequence[Issue] = ()) -> None:
        super().__init__(detail, fix=fix, code=code)
        self.issues = tuple(issues)


class Unauthenticated(TsugikiError):
    code: ClassVar[str] = "unauthenticated"


class Forbidden(TsugikiError):
    code: ClassVar[str] = "forbidden"


class NotFound(TsugikiError):
    code: ClassVar[str] = "not_found"


class Conflict(TsugikiError):
    code: ClassVar[str] = "conflict"


class NoVersion(Conflict):
    code: ClassVar[str] = "no_version"


class TooLarge(TsugikiError):
    code: ClassVar[str] = "too_large"


class UnsupportedType(TsugikiError):
    code: ClassVar[str] = "unsupported_type"


class Overloaded(TsugikiError):
    code: ClassVar[str] = "overloaded"

    def __init__(self, detail: str, *, retry_after_s: int = 1, fix: str = "", code: str | None = None) -> None:
        super().__init__(detail, fix=fix, code=code)
        self.retry_after_s = retry_after_s


class Unavailable(TsugikiError):
    code: ClassVar[str] = "unavailable"

    def __init__(self, detail: str, *, retry_after_s: int = 2, fix: str = "", code: str | None = None) -> None:
        super().__init__(detail, fix=fix, code=code)
        self.retry_after_s = retry_after_s


class StorageFull(TsugikiError):
    code: ClassVar[str] = "storage_full"


class OutOfMemory(TsugikiError):
    code: ClassVar[str] = "out_of_memory"


class Cancelled(TsugikiError):
    code: ClassVar[str] = "cancelled"


class ArtifactCorrupt(TsugikiError):
    code: ClassVar[str] = "artifact_corrupt"


class ParityMissed(TsugikiError):
    code: ClassVar[str] = "parity_missed"


class WrongFeatureSpace(TsugikiError):
    code: ClassVar[str] = "wrong_feature_space"
