"""A bad setting stops the start, naming key and value; a secret is named, never shown."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import text

from service.blobs import blobs_of
from service.reaching import reach
from service.settings import read_settings
from tests.postgres import Server
from tests.s3 import Server as S3Server
from tsugiki.runtime.engines import torch
from tsugiki.storage.database import Database

ROOT = Path(__file__).parents[2]
CORES = len(os.sched_getaffinity(0))


def start(home: Path, name: str, value: str) -> str:
    """What a start that must fail writes."""
    environment = {**os.environ, f"TSUGIKI_{name}": value, "TSUGIKI_HOME": str(home)}
    command = [sys.executable, "-m", "service"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    assert not home.exists()
    return done.stderr


def test_a_bad_port_stops_the_start(tmp_path: Path) -> None:
    told = start(tmp_path / "home", "PORT", "70000")
    assert "TSUGIKI_PORT='70000'" in told and "65535" in told


@pytest.mark.parametrize(
    ("name", "value", "shows", "fix"),
    [
        ("DATABASE_URL", "mysql://me:hush@host/db", "mysql://me:***@host/db", "postgresql://"),
        ("DATABASE_URL", "no url: hush", "(hidden)", "postgresql://"),
        ("DATABASE_URL", "postgresql://me:hush@127.0.0.1:9/db", "postgresql://me:***@127.0.0.1:9/db", "runs"),
        ("BLOBS_URL", "nosuch://me:hush@bucket/x", "nosuch://me:***@bucket/x", "s3fs"),
        ("BLOBS_URL", "file:///proc/nowhere", "file:///proc/nowhere", "exists"),
    ],
)
def test_a_url_that_leads_nowhere_stops_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, shows: str, fix: str
) -> None:
    monkeypatch.setenv("TSUGIKI_HOME", str(tmp_path))
    monkeypatch.setenv("TSUGIKI_BLOBS_URL", f"file://{tmp_path}")
    monkeypatch.setenv(f"TSUGIKI_{name}", value)
    with pytest.raises(SystemExit) as stopped:
        reach(read_settings())
    told = str(stopped.value)
    assert f"TSUGIKI_{name}={shows}" in told and fix in told and "hush" not in told


def test_a_wrong_password_and_a_missing_database_are_told_apart(
    postgres: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TSUGIKI_HOME", str(tmp_path))
    monkeypatch.setenv("TSUGIKI_BLOBS_URL", f"file://{tmp_path}")
    for url, why in (
        (postgres.url("nowhere"), "does not exist"),
        (postgres.url().replace("secret", "hush"), "password authentication failed"),
    ):
        monkeypatch.setenv("TSUGIKI_DATABASE_URL", url)
        with pytest.raises(SystemExit, match=why) as stopped:
            reach(read_settings())
        assert "hush" not in str(stopped.value) and "secret" not in str(stopped.value)
    monkeypatch.setenv("TSUGIKI_DATABASE_URL", postgres.url())
    reach(read_settings())


def test_a_bucket_that_is_not_there_stops_the_start(
    s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TSUGIKI_HOME", str(tmp_path))
    monkeypatch.setenv("TSUGIKI_BLOBS_URL", "s3://tsugiki-nowhere/x")
    with pytest.raises(SystemExit, match=r"TSUGIKI_BLOBS_URL=s3://tsugiki-nowhere/x.*bucket exists"):
        reach(read_settings())
    monkeypatch.setenv("TSUGIKI_BLOBS_URL", f"s3://{s3.bucket()}/x")
    reach(read_settings())


def test_rows_that_are_shared_want_files_that_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TSUGIKI_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TSUGIKI_DATABASE_URL", "postgresql://me:hush@127.0.0.1:9/db")
    with pytest.raises(SystemExit, match=r"TSUGIKI_BLOBS_URL=None: .*TSUGIKI_DATABASE_URL.*file:///folder") as stopped:
        read_settings()
    assert "hush" not in str(stopped.value)
    monkeypatch.setenv("TSUGIKI_BLOBS_URL", f"file://{tmp_path}/shared")
    kept = blobs_of(read_settings()).put("proj_1", b"meant")
    assert (tmp_path / "shared" / "proj_1" / kept[:2] / kept).read_bytes() == b"meant"
    assert not (tmp_path / "home").exists()


def test_a_newer_release_s_database_stops_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    database = Database(tmp_path)
    database.migrate()
    with database.write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    database.close()
    monkeypatch.setenv("TSUGIKI_HOME", str(tmp_path))
    with pytest.raises(SystemExit, match=r"TSUGIKI_HOME=.*9999.*newer"):
        reach(read_settings())


@pytest.mark.skipif(torch.why_not() is None, reason="this machine can run every engine")
def test_an_engine_that_cannot_run_here_stops_the_start(tmp_path: Path) -> None:
    told = start(tmp_path / "home", "ENGINE", "torch")
    assert "TSUGIKI_ENGINE=torch" in told and "auto" in told


@pytest.mark.parametrize("name", ["OFFERED", "LOADED"])
def test_a_backbone_that_is_not_there_stops_the_start(tmp_path: Path, name: str) -> None:
    told = start(tmp_path / "home", name, '["minilm-en", "nonesuch"]')
    assert f"TSUGIKI_{name}=nonesuch" in told and "minilm-en" in told


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "http"),
        ("MAX_BODY_BYTES", "0"),
        ("WORKERS", "0"),
        ("ENGINE_WORKERS", "-1"),
        ("ADAPTATION_WORKERS", "many"),
        ("DRAIN_SECONDS", "0"),
        ("ENGINE", "fastest"),
        ("WAIT_SECONDS", "0"),
    ],
)
def test_every_bad_value_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"TSUGIKI_{name}", value)
    with pytest.raises(SystemExit, match=f"TSUGIKI_{name}='{value}'"):
        read_settings()


def test_a_bad_secret_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TSUGIKI_BOOTSTRAP_KEY", "too-short")
    with pytest.raises(SystemExit, match=r"TSUGIKI_BOOTSTRAP_KEY=\(hidden\)") as stopped:
        read_settings()
    assert "too-short" not in str(stopped.value)


def test_what_is_not_set_has_the_documented_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("TSUGIKI_")]:
        monkeypatch.delenv(name)
    settings = read_settings()
    assert (settings.host, settings.port, settings.max_body_bytes) == ("127.0.0.1", 3000, 16 * 1024 * 1024)
    assert settings.root == Path("~/.tsugiki").expanduser().resolve()
    assert (settings.workers, settings.engine_workers) == (1, CORES)


@pytest.mark.parametrize(("workers", "passes"), [(1, CORES), (CORES, 1), (CORES + 1, 1)])
def test_workers_use_each_core_once(monkeypatch: pytest.MonkeyPatch, workers: int, passes: int) -> None:
    monkeypatch.delenv("TSUGIKI_ENGINE_WORKERS", raising=False)
    monkeypatch.setenv("TSUGIKI_WORKERS", str(workers))
    assert read_settings().engine_workers == passes
