"""What the README shows is run, in order, on a real service; what it lists exists."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from itertools import takewhile
from pathlib import Path

import pytest

from service.launch import Running
from service.settings import Settings
from service.settings_table import with_table

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(bash|python) run\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
SHOWN_URL = "http://127.0.0.1:3000"
# curl alone ends well whatever the service answers.
STRICT_CURL = 'set -eu; curl() { command curl --fail-with-body "$@"; }\n'


def test_the_readmes_commands_work_in_the_order_shown(server: Running) -> None:
    paths = (path for path in (str(ROOT), str(ROOT / "src"), os.environ.get("PYTHONPATH")) if path)
    environment = {
        **os.environ,
        "TSUGIKI_URL": server.url,
        "TSUGIKI_KEY": server.key,
        "PYTHONPATH": os.pathsep.join(paths),
    }
    assert [language for language, _ in BLOCKS] == ["bash", "python", "python", "python", "python"]
    for language, block in BLOCKS:
        shown = block.replace(SHOWN_URL, server.url)
        command = ["bash", "-c", STRICT_CURL + shown] if language == "bash" else [sys.executable, "-c", shown]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
        assert done.stdout.strip()


def test_the_readmes_first_python_lines_are_five() -> None:
    first = next(block for language, block in BLOCKS if language == "python")
    assert len([line for line in first.splitlines() if line.strip()]) <= 5


def test_the_readme_names_every_setting_and_no_other() -> None:
    named = set(re.findall(r"^\| `TSUGIKI_(\w+)`", README, re.MULTILINE))
    assert named == {name.upper() for name in Settings.model_fields}


def test_the_readmes_settings_are_what_the_code_says_of_them() -> None:
    assert README == with_table(README), "run make settings"
    assert all(field.description for field in Settings.model_fields.values())
    stale = README.replace("| address to listen on |", "| elsewhere |")
    assert stale != with_table(stale)


@pytest.mark.parametrize("target", sorted(set(re.findall(r"make (\w+)", README))))
def test_the_readmes_make_targets_exist(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


def test_the_readmes_tree_exists() -> None:
    tree = README.split("## The tree")[1].split("```")[1]
    folder = ROOT
    for line in tree.strip().splitlines():
        named = list(takewhile(lambda word: word.endswith(("/", ".py")), line.split()))
        assert named, line
        if not line.startswith(" "):
            folder = ROOT
        for name in named:
            assert (folder / name).exists(), name
        if not line.startswith(" "):
            folder = ROOT / named[0]
