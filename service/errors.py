"""The one table from what the core says to how HTTP calls it, and the problem document (RFC 9457)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from tsugiki import errors

STATUS: dict[type[errors.TsugikiError], int] = {
    errors.Invalid: 422,
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.Conflict: 409,
    errors.TooLarge: 413,
    errors.UnsupportedType: 415,
    errors.Overloaded: 429,
    errors.Cancelled: 409,
    errors.Unavailable: 503,
    errors.OutOfMemory: 503,
    errors.ArtifactCorrupt: 503,
    errors.WrongFeatureSpace: 409,
    errors.ParityMissed: 409,
    errors.StorageFull: 507,
}

TITLES = {
    401: "Unauthenticated",
    403: "Forbidden",
    404: "Not found",
    405: "Method not allowed",
    409: "Conflict",
    413: "Too large",
    415: "Unsupported content type",
    422: "Invalid input",
    429: "Too many requests",
    500: "Internal error",
    503: "Unavailable",
    507: "Storage full",
}

# What to do, where the core says only what happened.
FIXES = {
    404: "check the id or name; the list it belongs to names what there is",
    409: "read the object as it is now, then decide",
    422: "compare the request with /docs",
    500: "look for the request_id in the service's log",
    503: "ask again after the time in Retry-After",
    507: "free disk space; nothing has to be restarted",
}


def status_of(error: errors.TsugikiError) -> int:
    """HTTP status of a core error; an error the table does not name is a bug and answers 500."""
    return next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), 500)


def problem(
    error: errors.TsugikiError, *, instance: str | None = None, request_id: str | None = None
) -> dict[str, Any]:
    """An error as a problem document; `errors` names the places, `fix` what to do."""
    status = status_of(error)
    document: dict[str, Any] = {
        "type": f"urn:tsugiki:problem:{error.reason}",
        "title": TITLES.get(status, "Error"),
        "status": status,
        "detail": error.detail,
        "code": error.reason,
        "fix": error.fix or FIXES.get(status, "see /docs"),
        "errors": [_place(issue) for issue in error.issues] if isinstance(error, errors.Invalid) else [],
    }
    return document | _where(instance, request_id)


def job_problem(
    ended: Mapping[str, str], *, instance: str | None = None, request_id: str | None = None
) -> dict[str, Any]:
    """The problem a job ended by, from `TsugikiError.as_data`; `request_id` of the request that asked for it."""
    status = next((status for kind, status in STATUS.items() if kind.code == ended["kind"]), 500)
    document: dict[str, Any] = {
        "type": f"urn:tsugiki:problem:{ended['code']}",
        "title": TITLES.get(status, "Error"),
        "status": status,
        "detail": ended["detail"],
        "code": ended["code"],
        "fix": ended["fix"],
        "errors": [],
    }
    return document | _where(instance, request_id)


def retry_after(error: errors.TsugikiError) -> dict[str, str]:
    """The Retry-After header, for the errors that time may heal."""
    if isinstance(error, errors.Overloaded | errors.Unavailable):
        return {"Retry-After": str(error.retry_after_s)}
    return {"Retry-After": "5"} if status_of(error) == 503 else {}


def _where(instance: str | None, request_id: str | None) -> dict[str, Any]:
    """Both where they are known: a job that the service gave itself has no request."""
    told = {"instance": instance, "request_id": request_id}
    return {name: value for name, value in told.items() if value is not None}


def _place(issue: errors.Issue) -> dict[str, Any]:
    return {key: value for key, value in asdict(issue).items() if value or key != "evidence"}
