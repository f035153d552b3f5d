"""Does any route tell a caller something of another tenant's objects? Built from the routes, so that none is forgotten.

`leaks` asks every route for every object of another tenant, by every path parameter and body field that names one,
and compares the reply with the one for an id nobody has: they must be the same but for the id itself.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter

from service.routes import ROUTERS

NOBODYS = "0" * 26  # a ULID that is never given
SAMPLES = [{"input": f"{text} {n}", "label": label} for label, text in (("a", "pay"), ("b", "late")) for n in range(2)]

# The path parameters that name an object by itself, and those that mean something within a project only.
IDENTITIES = frozenset({"p", "s", "a", "e", "t", "k"})
WITHIN_PROJECT = frozenset({"v", "name"})
# What a route must be sent to come as far as looking for the object; a mutating route without an entry fails.
BODIES: dict[tuple[str, str], object] = {
    ("PATCH", "/v1/projects/{p}"): {"policy": {}},
    ("POST", "/v1/projects/{p}/samples"): {"samples": [{"input": "pay"}]},
    ("PUT", "/v1/projects/{p}/samples/{s}/label"): {"label": "billing"},
    ("POST", "/v1/projects/{p}/audit/fixes"): {"fixes": [{"sample": f"smp_{NOBODYS}", "action": "drop"}]},
    ("POST", "/v1/projects/{p}/adaptations"): {"wait_seconds": 60},
    ("POST", "/v1/adaptations/{a}/cancel"): None,
    ("PUT", "/v1/projects/{p}/aliases/{name}"): {"version": 1},
    ("POST", "/v1/projects/{p}/rollback"): {},
    ("POST", "/v1/projects/{p}/predict"): {"inputs": ["pay"]},
    ("POST", "/v1/projects/{p}/versions/{v}/exports"): {"wait_seconds": 60},
    ("POST", "/admin/v1/tenants/{t}/keys"): {},
    ("PUT", "/admin/v1/tenants/{t}/quota"): {},
}
# Routes whose body names a project; `#` stands for it.
NAMED_IN_BODY: dict[str, object] = {
    "/adapt": {"project": "#", "samples": SAMPLES, "wait_seconds": 60},
    "/predict": {"project": "#", "inputs": ["pay"]},
    "/v1/backbones/recommend": {"project": "#"},
}
PAGES = frozenset({"/docs/{name}"})  # `name` of a file, no object


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    text: str


Ask = Callable[[str, str, object], Answer]
"""(method, path, body or None) -> what a tenant gets."""


@dataclass(frozen=True, slots=True)
class Owned:
    """A tenant's objects by path parameter, and its projects' names."""

    ids: Mapping[str, str]
    project_name: str

    def words(self) -> Iterator[str]:
        """What no reply to another may hold unless it was sent along."""
        yield from (self.ids[parameter] for parameter in sorted(IDENTITIES))
        yield self.project_name


@dataclass(frozen=True, slots=True)
class Question:
    method: str
    path: str
    body: object
    asked_for: str


def object_routes(routers: Iterable[APIRouter] = ROUTERS) -> list[tuple[str, str]]:
    """(method, path template) of every route with a parameter that names an object. Raises for one without a rule."""
    found: list[tuple[str, str]] = []
    for router in routers:
        for route in router.routes:
            path = str(getattr(route, "path", ""))
            parameters = set(re.findall(r"\{(\w+)\}", path))
            if not parameters or path in PAGES:
                continue
            if parameters - IDENTITIES - WITHIN_PROJECT:
                raise LookupError(f"{path}: no rule for its parameters, add one to tests/service/isolation.py")
            found += [(method, path) for method in getattr(route, "methods", ()) if method != "HEAD"]
    for method, path in found:
        if method in ("POST", "PUT", "PATCH") and (method, path) not in BODIES:
            raise LookupError(f"{method} {path}: no body, add one to BODIES in tests/service/isolation.py")
    # What erases comes last, the largest at the very end: where it works, nothing is left to be found.
    return sorted(found, key=lambda route: (route[0] == "DELETE", -route[1].count("{")))


def leaks(ask: Ask, mine: Owned, theirs: Owned) -> list[str]:
    """One line for each route that tells a foreign id from an unknown one, or says a foreign word."""
    found: list[str] = []
    for foreign, unknown in _pairs(mine, theirs):
        told, expected = (
            ask(foreign.method, foreign.path, foreign.body),
            ask(foreign.method, unknown.path, unknown.body),
        )
        where = f"{foreign.method} {foreign.path}"
        if told.status not in (403, 404):
            found.append(f"{where} ({foreign.asked_for}) answers {told.status}")
        elif _neutral(told, theirs) != _neutral(expected, theirs):
            found.append(f"{where} ({foreign.asked_for}) is not answered as an unknown one")
        said = told.text.replace(foreign.asked_for, "").replace(foreign.path, "")
        found += [f"{where} says {word}" for word in theirs.words() if word in said and word not in foreign.path]
    for path in sorted({path for method, path in _all_routes() if method == "GET"}):
        said = ask("GET", fill(path, mine.ids), None).text
        found += [f"GET {path} says {word}" for word in theirs.words() if word in said]
    return found


def fill(path: str, ids: Mapping[str, str]) -> str:
    return re.sub(r"\{(\w+)\}", lambda match: ids[match[1]], path)


def _pairs(mine: Owned, theirs: Owned) -> Iterator[tuple[Question, Question]]:
    """Each foreign question with its twin about what does not exist."""
    for method, path in object_routes():
        body = BODIES.get((method, path))
        parameters = [name for name in re.findall(r"\{(\w+)\}", path) if name in IDENTITIES]
        for parameter in parameters:
            # Every kind of id in every place: what is looked up by one kind may be found by another.
            for foreign in theirs.words():
                unknown = _unknown_like(foreign)
                # The rest of the path once the caller's own, so that a nested object is reached, once the other's.
                for rest in (mine.ids, theirs.ids)[: len(parameters)]:
                    asked = (fill(path, {**rest, parameter: id}) for id in (foreign, unknown))
                    yield Question(method, next(asked), body, foreign), Question(method, next(asked), body, unknown)
    for path, body in NAMED_IN_BODY.items():
        foreign = theirs.ids["p"]
        yield _named(path, body, foreign), _named(path, body, _unknown_like(foreign))


def _named(path: str, body: object, id: str) -> Question:
    return Question("POST", path, json.loads(json.dumps(body).replace("#", id)), id)


def _unknown_like(id: str) -> str:
    prefix, _, _ = id.rpartition("_")
    return f"{prefix}_{NOBODYS}"


def _neutral(answer: Answer, theirs: Owned) -> tuple[int, Any]:
    """Status and body without what must differ: request, path, and the ids that were sent."""
    names = "|".join(re.escape(name) for name in (theirs.project_name, _unknown_like(theirs.project_name)))
    found = json.loads(re.sub(rf"[a-z]+_[0-9A-Z]{{26}}|{names}", "<id>", answer.text))
    return answer.status, {key: value for key, value in found.items() if key not in ("request_id", "instance")}


def _all_routes() -> Iterator[tuple[str, str]]:
    for router in ROUTERS:
        for route in router.routes:
            for method in getattr(route, "methods", ()):
                yield method, str(getattr(route, "path", ""))
