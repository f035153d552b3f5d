"""What the service refused, as an exception (RFC 9457)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import httpx

SHOWN_PLACES = 5  # of `errors` in a message: enough to see the pattern, `errors` has them all
SHOWN_BODY = 200  # characters of an answer that is no problem document, such as a proxy's page


class TsugikiProblem(Exception):
    """`code` is stable and meant for programs; `detail` and `fix` for people; `errors` names the places.

    >>> raise TsugikiProblem(409, "no_version", "Conflict", "nothing is live under 'live'", fix="adapt first")
    TsugikiProblem: 409 no_version: nothing is live under 'live'. adapt first
    """

    def __init__(
        self,
        status: int,
        code: str,
        title: str,
        detail: str,
        fix: str = "",
        errors: tuple[Mapping[str, Any], ...] = (),
        request_id: str | None = None,
    ) -> None:
        super().__init__(status, code, title, detail, fix, errors, request_id)
        self.status = status
        self.code = code
        self.title = title
        self.detail = detail
        self.fix = fix
        self.errors = errors
        self.request_id = request_id

    def __str__(self) -> str:
        sentences = [(self.detail or self.title).rstrip("."), self.fix.rstrip(".")]
        places = [f"  {place.get('pointer', '')}: {place.get('detail', '')}" for place in self.errors[:SHOWN_PLACES]]
        if len(self.errors) > SHOWN_PLACES:
            places.append(f"  and {len(self.errors) - SHOWN_PLACES} more")
        request = f" (request {self.request_id})" if self.request_id else ""
        status = f"{self.status} " if self.status else ""  # a job's error has none: no request failed
        line = f"{status}{self.code}: {'. '.join(filter(None, sentences))}{request}"
        return "\n".join([line, *places])


def problem_of(document: Mapping[str, Any]) -> TsugikiProblem:
    """A problem document, from the body of a refusal or from the place of a bad row."""
    return TsugikiProblem(
        status=document.get("status", 0),
        code=document.get("code", "unknown"),
        title=document.get("title", ""),
        detail=document.get("detail", ""),
        fix=document.get("fix") or "",
        errors=tuple(document.get("errors") or ()),
        request_id=document.get("request_id"),
    )


def refusal(response: httpx.Response) -> TsugikiProblem:
    """The problem in a reply that is not 2xx; a body from elsewhere (a proxy) becomes code `http_<status>`."""
    try:
        document = response.json()
    except (json.JSONDecodeError, UnicodeDecodeError):
        document = None
    if isinstance(document, dict) and "detail" in document:
        return problem_of({"status": response.status_code, "code": f"http_{response.status_code}", **document})
    return TsugikiProblem(
        status=response.status_code,
        code=f"http_{response.status_code}",
        title=response.reason_phrase,
        detail=response.text[:SHOWN_BODY] or response.reason_phrase,
        request_id=response.headers.get("X-Request-ID"),
    )
