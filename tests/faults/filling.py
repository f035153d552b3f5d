"""Runs a service on the little disk of its home, fills it, frees it: `python -m tests.faults.filling HOME`.

Raises where the service does not do as it promises; in a mount namespace of its own, which ends with it.
"""

import errno
import sys
from contextlib import suppress
from pathlib import Path

import httpx

from service.launch import serving
from tests.faults.lives import LABELS, connect, teach
from tests.faults.several import soon

ROOM = 64 << 10  # bytes at a time
SOON_S = 60.0  # within it what was erased is gone, once there is room
DOOMED = "doomed"  # the project that is erased, and a word of each of its samples
ASKED = {"project": "support", "inputs": ["parcel late arrive 1"]}


def main(home: Path, log: Path) -> None:
    with serving(home, log=log) as running, connect(running) as http:
        teach(http, "support")
        doom(http)
        assert places(home) != []
        filler = home / "filler"
        fill(filler)
        refused = [until_refused(http), adapt(http), create(http), export(http)]
        for reply in refused:
            problem = reply.json()
            assert reply.status_code == 507, reply.text
            assert problem["code"] == "storage_full"
            assert problem["detail"] and problem["fix"]
        for _ in range(20):
            answered = http.post("/predict", json=ASKED)
            assert (answered.status_code, answered.json()["data"][0]["label"]) == (200, "delivery"), answered.text
        assert http.get("/readyz").status_code == 200
        erased = http.delete(f"/v1/projects/{DOOMED}")
        if erased.status_code != 202:  # there was no room to write down that it is gone: then all of it is there
            assert (erased.status_code, erased.json()["code"]) == (507, "storage_full"), erased.text
            assert http.post("/predict", json=ASKED | {"project": DOOMED}).status_code == 200
        filler.unlink()
        if erased.status_code != 202:
            assert http.delete(f"/v1/projects/{DOOMED}").status_code == 202
        assert http.get(f"/v1/projects/{DOOMED}").status_code == 404
        assert soon(lambda: places(home) == [], SOON_S), places(home)
        teach(http, "support", first=6)
        jobs = http.get("/v1/projects/support/adaptations").json()["data"]
        assert {job["status"] for job in jobs} <= {"succeeded", "failed"}, jobs
        assert http.post("/predict", json=ASKED).json()["version"] == 2
        made = export(http)
        assert (made.status_code, made.json()["status"]) == (200, "succeeded"), made.text


def doom(http: httpx.Client) -> None:
    rows = [
        {"input": f"{DOOMED} {words} {number} " + "z" * 1_000, "label": label}
        for label, words in LABELS.items()
        for number in range(10)
    ]
    reply = http.post("/adapt", json={"project": DOOMED, "samples": rows, "wait_seconds": 30})
    assert reply.status_code == 200, reply.text


def places(home: Path) -> list[str]:
    """Files that hold a word of the project's."""
    found: list[str] = []
    for path in home.rglob("*"):
        with suppress(FileNotFoundError):  # it went while we looked
            if path.is_file() and path.name != "filler" and DOOMED.encode() in path.read_bytes():
                found.append(path.name)
    return found


def fill(path: Path) -> None:
    """To the last byte."""
    with path.open("wb", buffering=0) as file:
        while True:
            try:
                file.write(bytes(ROOM))
            except OSError as error:
                assert error.errno == errno.ENOSPC
                return


def until_refused(http: httpx.Client) -> httpx.Response:
    """Batches of samples; the first ones may find room in what the database has kept free."""
    for number in range(200):
        rows = [{"input": f"filling {number} {row} " + "x" * 2_000, "label": "billing"} for row in range(20)]
        reply = http.post("/v1/projects/support/samples", json={"samples": rows})
        if reply.status_code != 200:
            return reply
    raise AssertionError("a full disk took everything")


def adapt(http: httpx.Client) -> httpx.Response:
    rows = [{"input": "x" * 60_000 + f" {row}", "label": "billing"} for row in range(20)]
    return http.post("/adapt", json={"project": "support", "samples": rows})


def export(http: httpx.Client) -> httpx.Response:
    return http.post("/v1/projects/support/versions/1/exports", json={"wait_seconds": 30})


def create(http: httpx.Client) -> httpx.Response:
    labels = [{"name": f"label {number}", "description": "y" * 2_000} for number in range(20)]
    return http.post("/v1/projects", json={"name": "another", "labels": labels})


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
