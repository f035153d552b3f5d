"""A published graft that changes on disk is never served; everybody else is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.launch import serving
from tests.faults.lives import connect, teach

INTERNALS = ("blob", "sha256", "/tmp", "Traceback", "proj_", "tsugiki/")


@dataclass(frozen=True, slots=True)
class Place:
    http: httpx.Client
    home: Path


@pytest.fixture(scope="module")
def place(make_home: Callable[[], Path], tiny_environment: dict[str, str]) -> Iterator[Place]:
    """A service of our own: what these tests do to its files is no other test's business."""
    home = make_home()
    with serving(home, env=tiny_environment) as running, connect(running) as http:
        yield Place(http, home)


def graft_of(place: Place, project: dict[str, Any], number: int) -> Path:
    """The live graft's file; it has not been read yet, for nothing was predicted."""
    digest = place.http.get(f"/v1/projects/{project['id']}/versions/{number}").json()["digest"]
    (found,) = (place.home / "blobs" / project["id"]).rglob(digest)
    return found


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def swap(path: Path) -> None:
    """Another graft of the same project, whole, under this one's name."""
    (other,) = [
        p for p in path.parents[1].rglob("*") if p.is_file() and p != path and b"tsugiki" in p.read_bytes()[:400]
    ]
    path.write_bytes(other.read_bytes())


def empty(path: Path) -> None:
    path.write_bytes(b"")


def remove(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize("damage", [flip, swap, empty, remove])
def test_a_damaged_graft_is_told_and_not_served_and_adapting_mends_it(
    place: Place, damage: Callable[[Path], None]
) -> None:
    name = f"victim-{damage.__name__}"
    taught = teach(place.http, name)
    teach(place.http, name, first=6)
    teach(place.http, "healthy")
    damage(graft_of(place, taught["project"], 2))
    asked = {"inputs": ["money refund charge 1"]}
    for _ in range(2):
        refused = place.http.post(f"/v1/projects/{name}/predict", json=asked)
        problem = refused.json()
        assert (refused.status_code, problem["code"]) == (503, "artifact_corrupt")
        assert refused.headers["retry-after"]
        assert problem["fix"]
        told = refused.text.replace(problem["instance"], "")
        assert not [word for word in INTERNALS if word.lower() in told.lower()], refused.text
    healthy = place.http.post("/v1/projects/healthy/predict", json=asked)
    assert (healthy.status_code, healthy.json()["data"][0]["label"]) == (200, "billing")
    assert place.http.post(f"/v1/projects/{name}/predict", params={"version": 1}, json=asked).status_code == 200
    assert place.http.get("/readyz").status_code == 200
    teach(place.http, name, first=12)
    mended = place.http.post(f"/v1/projects/{name}/predict", json=asked)
    assert (mended.status_code, mended.json()["data"][0]["label"]) == (200, "billing")
