"""`python -m service backup` beside a service that learns, and `restore`: what comes back answers the same."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from service.__main__ import main
from tests.service.asking import SAMPLES, Object
from tests.service.in_process import InProcess, in_process

QUESTIONS = ["refund the bill please", "where is my parcel", "rain"]


def post(service: InProcess, key: str, path: str, body: Object) -> Object:
    headers = {"Authorization": f"Bearer {key}"}
    return service.http.post(path, json=body, headers=headers).raise_for_status().json()


def get(service: InProcess, key: str, path: str) -> Object:
    return service.http.get(path, headers={"Authorization": f"Bearer {key}"}).raise_for_status().json()


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
                post(service, key, "/adapt", body)
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
            compared = 0
            for project in get(restored, key, "/v1/projects")["data"]:
                path = f"/v1/projects/{project['id']}"
                for version in get(restored, key, f"{path}/versions")["data"][-2:]:
                    number = version["version"]
                    assert get(service, key, f"{path}/versions/{number}") == version
                    body = {"inputs": QUESTIONS, "top_k": 9}
                    asked = [post(one, key, f"{path}/predict?version={number}", body) for one in (service, restored)]
                    assert asked[0]["data"] == asked[1]["data"]
                    compared += 1
            assert compared
    (folder / "tsugiki.db").write_bytes((folder / "tsugiki.db").read_bytes()[:-1] + b"?")
    with pytest.raises(SystemExit, match=r"nothing restored: .*tsugiki\.db is missing or damaged"):
        run(monkeypatch, make_home(), "restore", folder)


def run(monkeypatch: pytest.MonkeyPatch, home: Path, verb: str, folder: Path) -> None:
    monkeypatch.setenv("TSUGIKI_HOME", str(home))
    monkeypatch.setattr(sys, "argv", ["service", verb, str(folder)])
    main()
