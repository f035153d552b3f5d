"""The image, as a cluster runs it: nothing but its home can be written, nothing reached, nobody is root.

`make image-test`, after `make image`. Needs docker or podman (RUNNER); IMAGE names another than tsugiki:latest, and
OPTIONS are more of `run`'s: podman without systemd wants "--ulimit host --health-cmd none".
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

IMAGE = os.environ.get("IMAGE", "tsugiki:latest")
RUNNER = os.environ.get("RUNNER") or next((name for name in ("docker", "podman") if shutil.which(name)), "docker")
NAME = f"tsugiki-image-test-{os.getpid()}"
INSIDE = Path(__file__).with_name("inside.py")  # what is run in the container: from outside nothing reaches it
READY_S = 10.0
ENDS_S = 30.0
HARDENED = (
    *("--network", "none", "--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"),
    *os.environ.get("OPTIONS", "").split(),
    *(("--read-only-tmpfs=false",) if RUNNER == "podman" else ()),  # it would add folders that can be written
)
COMPILERS = ("as", "c++", "cc", "clang", "g++", "gcc", "ld", "make")


def runner(*arguments: str, stdin: str | None = None, check: bool = True) -> str:
    done = subprocess.run([RUNNER, *arguments], input=stdin, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0 or not check, f"{RUNNER} {' '.join(arguments)}: {done.stderr}{done.stdout}"
    return done.stdout.strip()


def inside(part: str) -> dict[str, Any]:
    """What a function of inside.py found, run in the container."""
    found = runner("exec", "-i", NAME, "python", "-", part, stdin=INSIDE.read_text())
    return json.loads(found.splitlines()[-1])


@pytest.fixture(scope="module", autouse=True)
def container() -> Iterator[None]:
    runner("volume", "create", NAME)
    try:
        runner("run", "--detach", "--name", NAME, *HARDENED, "--volume", f"{NAME}:/var/lib/tsugiki", IMAGE)
        yield
    finally:
        print(runner("logs", NAME, check=False))  # noqa: T201  # shown where a test fails
        runner("rm", "--force", NAME, check=False)
        runner("volume", "rm", NAME, check=False)


def test_it_is_ready_soon_in_an_empty_home() -> None:
    found = inside("wait_ready")
    size = int(runner("image", "inspect", "--format", "{{.Size}}", IMAGE))
    print(f"ready after {found['seconds']:.1f} s; the image has {size / 1e9:.2f} GB")  # noqa: T201  # for -s
    assert found["seconds"] <= READY_S


def test_it_can_write_its_home_only_and_reaches_nothing() -> None:
    found = inside("look_round")
    assert found["user"] != 0
    assert found["writable"] == ["/var/lib/tsugiki"]
    assert found["interfaces"] == ["lo"]
    assert not set(COMPILERS) & set(found["programs"])
    assert "python" in found["programs"], "the control: programs that are there are found"


@pytest.mark.parametrize("modality", ["text", "image", "audio"])
def test_it_adapts_and_predicts_without_compiling(modality: str) -> None:
    found = inside(f"adapt_{modality}")
    assert (found["status"], found["answers"]) == ("succeeded", found["expected"])
    assert found["compiled"] == [], "every graph is a link to what the image brought"


def test_sigterm_takes_readiness_first_and_ends_when_all_is_answered() -> None:
    command = [RUNNER, "exec", "-i", NAME, "python", "-", "see_the_end"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as witness:
        assert witness.stdin is not None and witness.stdout is not None
        witness.stdin.write(INSIDE.read_text())
        witness.stdin.close()
        assert witness.stdout.readline() == "asked\n"
        began = time.monotonic()
        runner("kill", "--signal", "TERM", NAME)
        told = json.loads(witness.stdout.readline())
        status = int(runner("wait", NAME))
        seconds = time.monotonic() - began
    print(f"ended after {seconds:.1f} s: {told}")  # noqa: T201  # for -s
    assert told["ready"] == [503, "not ready: draining"]
    assert told["late"] == 200, "a request on a new connection, after readiness fell"
    assert told["answered_before"] < len(told["answers"]), "some were under way still"
    assert set(told["answers"]) == {200}
    assert (status, seconds <= ENDS_S) == (0, True)
