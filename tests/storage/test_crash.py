"""I1: whatever step a process is killed at, the store is whole and what was acknowledged is there.

Steps are those of Python; `make faults` kills at every system call as well, those within SQLite among them.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.storage.acts import ACTS, FOUND, Act, Fault, furnish
from tests.storage.aftermath import Crash, State, faults, go_on, reopened, state
from tests.storage.making import open_stores
from tsugiki.storage import FILE_NAME


@pytest.fixture(scope="module")
def copies(tmp_path_factory: pytest.TempPathFactory, migrated: Path) -> Path:
    """By act and step, the home as each process left it that was killed; the last one of an act lived."""
    home, copies = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("copies")
    shutil.copy(migrated, home / FILE_NAME)
    stores = open_stores(home)
    furnish(stores)
    stores.database.close()
    command = [sys.executable, "-m", "tests.storage.crashing", str(home), str(copies), *ACTS, *FOUND]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return copies


@pytest.mark.parametrize("act", ACTS)
def test_killed_at_any_step_an_act_is_whole_or_absent_and_can_be_repeated(act: Act, copies: Path) -> None:
    seen: list[State] = []
    for crash in crashes(copies, act):
        assert faults(crash) == [], f"killed at step {crash.at}"
        seen.append(state(crash))
        assert go_on(crash) == [], f"killed at step {crash.at}"
    assert seen == sorted(seen, reverse=True) and set(seen) == {"old", "new"}, "once it is new it stays new"


@pytest.mark.parametrize("fault", FOUND)
def test_parts_in_another_order_are_found_out_by_the_same_search(fault: Fault, copies: Path) -> None:
    found = [told for crash in crashes(copies, fault) for told in faults(crash)]
    assert any(FOUND[fault] in told for told in found), found


def crashes(copies: Path, act: Act | Fault) -> Iterator[Crash]:
    for step in range(1, len(list((copies / act).iterdir())) + 1):
        with reopened(copies / act / str(step), act, str(step)) as crash:
            yield crash
