"""What is installed for the service is what the project says it needs, to the version."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]


def pins(path: Path) -> dict[str, str]:
    lines = (line.split("#")[0].strip() for line in path.read_text().splitlines())
    found = [Requirement(line) for line in lines if line and not line.startswith("-")]
    assert all([len(one.specifier) == 1 and str(one.specifier).startswith("==") for one in found])
    return {canonicalize_name(one.name): str(one.specifier).removeprefix("==") for one in found}


@pytest.fixture(scope="module")
def pinned() -> dict[str, str]:
    return pins(ROOT / "service" / "requirements.txt")


@pytest.fixture(scope="module")
def needed() -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return [Requirement(line) for line in project["dependencies"]]


def test_every_dependency_is_pinned_to_a_version_that_fits(pinned: dict[str, str], needed: list[Requirement]) -> None:
    assert needed
    for one in needed:
        version = pinned.get(canonicalize_name(one.name))
        assert version is not None, f"service/requirements.txt does not pin {one.name}"
        assert one.specifier.contains(version), f"{one.name}=={version} does not satisfy {one.specifier}"


def test_torch_is_the_one_the_backbones_are_checked_with(pinned: dict[str, str]) -> None:
    assert pinned["torch"] == "2.13.0"


def test_the_tests_add_to_the_service_and_change_none_of_it(pinned: dict[str, str]) -> None:
    of_tests = pins(ROOT / "tests" / "requirements.txt")
    assert {name: pinned[name] for name in of_tests.keys() & pinned.keys()} == {
        name: of_tests[name] for name in of_tests.keys() & pinned.keys()
    }
    assert of_tests.keys() >= {"pytest", "hypothesis", "ruff", "pyright", "import-linter"}


def test_a_pin_that_does_not_fit_is_seen(needed: list[Requirement]) -> None:
    bentoml = next(one for one in needed if one.name == "bentoml")
    assert not bentoml.specifier.contains("1.5.0") and not bentoml.specifier.contains("1.4.38")


def test_what_the_makefile_and_the_bento_name_exists() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for path in re.findall(r"-r (\S+)", makefile):
        assert (ROOT / path).is_file(), path
    modules = re.findall(r"\$\(BIN\)/python -m (service[\w.]*)", makefile)
    assert set(modules) == {"service", "service.demo", "service.settings_table"}
    for module in modules:
        path = ROOT / module.replace(".", "/")
        assert path.with_suffix(".py").is_file() or (path / "__main__.py").is_file(), module
    bento = (ROOT / "bentofile.yaml").read_text()
    named = re.search(r"requirements_txt: \"\./(.+)\"", bento)
    assert named is not None and (ROOT / named[1]).is_file()
    included = re.findall(r'- "/(\S+)/"', bento)
    assert included == ["service", "adapters", "src/tsugiki"]
    assert all((ROOT / folder).is_dir() for folder in included)
