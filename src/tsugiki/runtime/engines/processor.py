"""What an engine runs on, besides its own code: the processor, and the libraries that compute."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")  # Linux's; elsewhere nothing is told
KIND = ("vendor_id", "cpu family", "model")
LIBRARIES = ("onnxruntime", "openvino", "torch")


def told(field: str) -> str:
    """What the first processor's entry says of it, as the kernel writes it; "" where that says nothing."""
    for line in CPUINFO.read_text().splitlines() if CPUINFO.is_file() else ():
        name, _, value = line.partition(":")
        if name.strip() == field:
            return value.strip()
    return ""


@cache
def surroundings() -> Mapping[str, str]:
    """What may make one engine's features others than they were, by name."""
    return {"processor": " ".join(map(told, KIND)), **{library: _version(library) for library in LIBRARIES}}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"
