"""`python -m service backup` beside a service that learns, and `restore`: what comes back answers the same."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from service.__main__ import main
from tests.service.asking import SAMPLES, good
from tests.service.in_process import InProcess, in_process

QUESTIONS = ["refund the bill please", "where is my parcel", "rain"]


def ask(service: InProcess, key: str, project: str, version: int) -> httpx.Response:
    path = f"/v1/projects/{project}/predict?version={version}"
    return service.http.post(path, json={"inputs": QUESTIONS, "top_k": 9}, headers={"Authorization": f"Bearer {key}"})


def test_a_home_that_was_saved_while_it_learnt_answers_the_same_elsewhere(
    make_home: Callable[[], Path], tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, again, folder = make_home(), make_home(), tmp_path / "saved"
    begun, enough = threading.Event(), threading.Event()

    with in_process(home, {"tiny": tiny_folder}) as service:
        key = (home / "bootstrap-key").read_text().strip()

        def learn() -> None:
            number = 0
            while not enough.is_set():
                number += 1
                body = {
                    "project": f"p{number % 3}",
                    "samples": [*SAMPLES, {"input": f"pay {number}", "label": "billing"}],
                }
                good(service.http.post("/adapt", json=body, headers={"Authorization": f"Bearer {key}"}))
                begun.set()

        writer = threading.Thread(target=learn)
        writer.start()
        assert begun.wait(60)
        try:
            run(monkeypatch, home, "backup", folder)
        finally:
            enough.set()
            writer.join()
        run(monkeypatch, again, "restore", folder)
        with in_process(again, {"tiny": tiny_folder}) as restored:
            assert not (again / "bootstrap-key").exists()
            listed = good(restored.http.get("/v1/projects", headers={"Authorization": f"Bearer {key}"}))["data"]
            compared = 0
            for project in listed:
                path = f"/v1/projects/{project['id']}/versions"
                headers = {"Authorization": f"Bearer {key}"}
                for version in good(restored.http.get(path, headers=headers))["data"][-2:]:
                    original = good(service.http.get(f"{path}/{version['version']}", headers=headers))
                    assert original == version
                    same = [ask(one, key, project["id"], version["version"]).json() for one in (service, restored)]
                    assert same[0]["data"] == same[1]["data"]
                    compared += 1
            assert compared
    (folder / "tsugiki.db").write_bytes((folder / "tsugiki.db").read_bytes()[:-1] + b"?")
    with pytest.raises(SystemExit, match=r"nothing restored: .*tsugiki\.db is missing or damaged"):
        run(monkeypatch, make_home(), "restore", folder)


def run(monkeypatch: pytest.MonkeyPatch, home: Path, verb: str, folder: Path) -> None:
    monkeypatch.setenv("TSUGIKI_HOME", str(home))
    monkeypatch.setattr(sys, "argv", ["service", verb, str(folder)])
    main()
