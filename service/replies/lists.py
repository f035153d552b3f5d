"""What every reply is made of: lists, problems, moments."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from typing_extensions import TypedDict

if TYPE_CHECKING:
    from tsugiki.storage.pages import Page

Object = dict[str, Any]  # JSON, as it goes out
T = TypeVar("T")


class ListReply(TypedDict):
    object: Literal["list"]
    data: list[Object]
    has_more: bool


class ProblemReply(TypedDict):
    """RFC 9457; `errors` names places by JSON pointer."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    fix: str
    errors: list[Object]
    instance: str
    request_id: str


def page(found: Page[T], present: Callable[[T], Mapping[str, Any]]) -> ListReply:
    return {"object": "list", "data": [dict(present(item)) for item in found.data], "has_more": found.has_more}


def moment(at: datetime | None) -> Any:  # str where a moment is given; the callers' types say which
    return None if at is None else at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
