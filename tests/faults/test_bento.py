"""The bento is the whole service: built, moved, and served by its tag where the project was never installed."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from service.command import ENVIRONMENT
from service.launch import Running, free_port
from tests.faults.lives import processes, ready, teach

ROOT = Path(__file__).parents[2]
KEY = "tsk_of-the-bento-s-first-start"
STARTS_S = 120.0
LARGEST_BYTES = 2 << 20  # sources only: weights and packages come with the requirements
GENERATED = ("apis/", "env/", "README.md", "bento.yaml", "src/bentofile.yaml")  # what BentoML writes of its own
CLIENT = """
import json, sys
import bentoml

with bentoml.SyncHTTPClient(sys.argv[1], token=sys.argv[2]) as client:
    samples = [{"input": f"{word} {n}", "label": word} for word in ("rain", "sun") for n in range(4)]
    adapted = client.adapt(project="weather", samples=samples)
    answered = client.predict(project="weather", inputs=["rain 2"])
print(json.dumps([adapted["adaptation"]["status"], answered["data"][0]["label"]]))
"""


@dataclass(frozen=True, slots=True)
class Bento:
    tag: str
    folder: Path
    environment: Mapping[str, str]


@pytest.fixture(scope="module")
def bento(tmp_path_factory: pytest.TempPathFactory, tiny_environment: dict[str, str]) -> Bento:
    store = tmp_path_factory.mktemp("bentos")
    # What the tests' own environment adds must not reach the bento.
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "TSUGIKI"))}
    environment = {**clean, **ENVIRONMENT, **tiny_environment, "BENTOML_HOME": str(store)}
    build = [sys.executable, "-m", "bentoml", "build", "--output", "tag", str(ROOT)]
    done = subprocess.run(build, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    found = re.search(r"__tag__:(tsugiki:(\w+))", done.stdout)
    assert found is not None, done.stdout
    return Bento(found[1], store / "bentos" / "tsugiki" / found[2], environment)


@pytest.fixture(scope="module")
def bare_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter that has every package the service requires, and not the service."""
    folder = tmp_path_factory.mktemp("bare")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True, timeout=60)
    # A folder named in a .pth file is searched, but .pth files within it are not read: the editable install is one.
    python = folder / "bin" / "python"
    asked = [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    packages = Path(subprocess.run(asked, capture_output=True, text=True, check=True, timeout=60).stdout.strip())
    (packages / "packages.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


@pytest.fixture(scope="module")
def served(
    bento: Bento, bare_python: Path, make_home: Callable[[], Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    home, elsewhere, port = make_home(), tmp_path_factory.mktemp("elsewhere"), free_port()
    own = {"TSUGIKI_HOME": str(home), "TSUGIKI_BOOTSTRAP_KEY": KEY}
    serve = [str(bare_python), "-m", "bentoml", "serve", bento.tag, "--host", "127.0.0.1", "--port", str(port)]
    log = home / "service.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            serve, cwd=elsewhere, env={**bento.environment, **own}, stdout=output, stderr=subprocess.STDOUT
        )
    running = Running(f"http://127.0.0.1:{port}", KEY, process.pid)
    try:
        assert ready(running, within_s=STARTS_S), log.read_text()
        yield running
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)


def test_the_project_cannot_be_imported_where_the_bento_is_served(bare_python: Path, tmp_path: Path) -> None:
    for name in ("tsugiki", "service", "adapters"):
        tried = subprocess.run(
            [str(bare_python), "-I", "-c", f"import {name}"], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert f"No module named '{name}'" in tried.stderr
    subprocess.run([str(bare_python), "-I", "-c", "import bentoml"], cwd=tmp_path, check=True)


def test_the_bento_holds_the_sources_and_nothing_else(bento: Bento) -> None:
    files = {path.relative_to(bento.folder).as_posix(): path for path in bento.folder.rglob("*") if path.is_file()}
    sources = {name for name in files if not name.startswith(GENERATED)}
    expected = {
        f"src/{prefix}{path.relative_to(folder).as_posix()}"
        for prefix, folder in (
            *(("service/", ROOT / "service"), ("adapters/", ROOT / "adapters")),
            ("tsugiki/", ROOT / "src" / "tsugiki"),
        )
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert sources == expected
    size = sum(path.stat().st_size for path in files.values())
    assert size < LARGEST_BYTES, f"{size:,} bytes"


def test_a_served_bento_adapts_and_predicts(served: Running) -> None:
    with httpx.Client(base_url=served.url, headers={"Authorization": f"Bearer {KEY}"}, timeout=60) as http:
        assert teach(http, "support")["adaptation"]["status"] == "succeeded"
        reply = http.post("/predict", json={"project": "support", "inputs": ["parcel late arrive 1"]})
        assert (reply.status_code, reply.json()["data"][0]["label"]) == (200, "delivery")
        assert http.get("/docs").status_code == 200


def test_bentoml_s_own_client_reaches_both_verbs(served: Running, bare_python: Path, tmp_path: Path) -> None:
    asked = [str(bare_python), "-I", "-c", CLIENT, served.url, KEY]
    done = subprocess.run(asked, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == ["succeeded", "rain"]


def test_sources_elsewhere_are_not_what_is_served(bento: Bento, served: Running) -> None:
    _, worker = processes(served)
    folder = Path(f"/proc/{worker}/cwd").resolve()
    assert folder == (bento.folder / "src").resolve()
    assert ROOT not in folder.parents
