"""`python -m service backup` beside a service that learns, and `restore`: what comes back answers the same."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from service.__main__ import main
from service.blobs import blobs_of
from service.reaching import refuse_half_restored
from service.settings import read_settings
from tests.postgres import Server
from tests.s3 import Server as S3Server
from tests.service.asking import SAMPLES, Object
from tests.service.in_process import InProcess, in_process
from tsugiki.storage import restoring

QUESTIONS = ["refund the bill please", "where is my parcel", "rain"]


def post(service: InProcess, key: str, path: str, body: Object) -> Object:
    headers = {"Authorization": f"Bearer {key}"}
    return service.http.post(path, json=body, headers=headers).raise_for_status().json()


def get(service: InProcess, key: str, path: str) -> Object:
    return service.http.get(path, headers={"Authorization": f"Bearer {key}"}).raise_for_status().json()


Store = dict[str, str]  # the environment of who uses it


@pytest.fixture
def make_store(make_home: Callable[[], Path], request: pytest.FixtureRequest) -> Generator[Callable[[str], Store]]:
    """Of one kind or the other, empty."""
    with ExitStack() as stack:

        def make(kind: str) -> Store:
            store = {"TSUGIKI_HOME": str(make_home())}
            if kind == "postgres":
                postgres: Server = request.getfixturevalue("postgres")
                s3: S3Server = request.getfixturevalue("s3")
                store["TSUGIKI_DATABASE_URL"] = stack.enter_context(postgres.database())
                store["TSUGIKI_BLOBS_URL"] = f"s3://{s3.bucket()}/folder"
            return store

        yield make


@contextmanager
def used(store: Store) -> Generator[None]:
    with pytest.MonkeyPatch.context() as environment:
        for name in ("TSUGIKI_HOME", "TSUGIKI_DATABASE_URL", "TSUGIKI_BLOBS_URL"):
            environment.delenv(name, raising=False)
        for name, value in store.items():
            environment.setenv(name, value)
        yield


@contextmanager
def serving(store: Store, tiny_folder: Path) -> Generator[InProcess]:
    with ExitStack() as stack:
        with used(store):
            service = stack.enter_context(in_process(Path(store["TSUGIKI_HOME"]), {"tiny": tiny_folder}))
        yield service


def run(store: Store, verb: str, folder: Path) -> None:
    with used(store), pytest.MonkeyPatch.context() as arguments:
        arguments.setattr(sys, "argv", ["service", verb, str(folder)])
        main()


@pytest.mark.parametrize(
    ("kind", "other"), [("sqlite", "sqlite"), ("postgres", "postgres"), ("sqlite", "postgres"), ("postgres", "sqlite")]
)
def test_what_was_saved_while_it_learnt_answers_the_same_elsewhere(
    kind: str, other: str, make_store: Callable[[str], Store], tiny_folder: Path, tmp_path: Path
) -> None:
    store, again, folder = make_store(kind), make_store(other), tmp_path / "saved"
    begun, enough = threading.Event(), threading.Event()

    with serving(store, tiny_folder) as service:
        key = (service.core.settings.root / "bootstrap-key").read_text().strip()

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
            run(store, "backup", folder)
        finally:
            enough.set()
            writer.join()
        run(again, "restore", folder)
        saved_at = datetime.now(UTC).isoformat()
        with serving(again, tiny_folder) as restored:
            assert not (restored.core.settings.root / "bootstrap-key").exists()
            compared = 0
            for project in get(restored, key, "/v1/projects")["data"]:
                path = f"/v1/projects/{project['id']}"
                for version in get(restored, key, f"{path}/versions")["data"][-2:]:
                    if version["created_at"] > saved_at:
                        continue  # of a job that was going on: it ends there as well
                    number = version["version"]
                    assert get(service, key, f"{path}/versions/{number}") == version
                    body = {"inputs": QUESTIONS, "top_k": 9}
                    asked = [post(one, key, f"{path}/predict?version={number}", body) for one in (service, restored)]
                    assert asked[0]["data"] == asked[1]["data"]
                    compared += 1
            assert compared
    (folder / "tsugiki.db").write_bytes((folder / "tsugiki.db").read_bytes()[:-1] + b"?")
    with pytest.raises(SystemExit, match=r"nothing restored: .*tsugiki\.db is missing or damaged"):
        run(make_store(other), "restore", folder)


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_no_service_starts_where_a_restore_has_not_ended(kind: str, make_store: Callable[[str], Store]) -> None:
    store = make_store(kind)
    with used(store):
        settings = read_settings()
        restoring.mark(blobs_of(settings))
    environment = {**os.environ, **store, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "service"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1 and "a restore has not ended here: run it again" in done.stderr, done.stderr
    restoring.unmark(blobs_of(settings))
    refuse_half_restored(settings)


@pytest.mark.parametrize("verb", ["backup", "restore"])
def test_a_wrong_url_is_told_without_its_password(verb: str, tmp_path: Path) -> None:
    store = {"TSUGIKI_HOME": str(tmp_path), "TSUGIKI_DATABASE_URL": "postgresql://me:hush@127.0.0.1:9/db"}
    with pytest.raises(SystemExit, match=r"TSUGIKI_DATABASE_URL=postgresql://me:\*\*\*@") as stopped:
        run(store | {"TSUGIKI_BLOBS_URL": f"file://{tmp_path}"}, verb, tmp_path / "saved")
    assert "hush" not in str(stopped.value)
