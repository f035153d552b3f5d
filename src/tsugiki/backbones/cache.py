"""Compiled backbones on disk: content-addressed, built once whoever asks, checked at every start."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from tsugiki.backbones.signature import OPSET, RECIPE
from tsugiki.backbones.source import Source, encode
from tsugiki.errors import Unavailable
from tsugiki.ports import BankType

BUILD_TIMEOUT_S = 900  # a 22 M parameter encoder takes about 10 s; a hundred times its size on a busy machine
KEPT_LINES = 8  # of a failed build's output: the exception and where it was raised


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_weights(source: Source) -> str:
    """The weights' sha256. Raises Unavailable (`backbone_corrupt`) where it is not the pinned one."""
    found = sha256(source.weights)
    if source.expected_sha256 not in (None, found):
        detail = f"{source.weights}: expected sha256 {source.expected_sha256}, found {found}"
        raise Unavailable(detail, fix="reinstall the package which brings the file", code="backbone_corrupt")
    return found


def ensure_graph(source: Source, weights_sha256: str, cache_dir: Path, given: Path | None = None) -> Path:
    """The compiled graph of a source, built now if there is none or it is not what was written.

    One that is in the folder `given`, which is only read, is not built but linked to. Blocks while another process
    builds the same one. Raises Unavailable (`backbone_build_failed`).
    """
    cache_dir.mkdir(parents=True, exist_ok=True)
    graph = cache_dir / f"{_key(source, weights_sha256)}.onnx"
    return _ensure(graph, lambda part: _compile(source, part), given)


def ensure_bank_graph(graph: Path, modules: Sequence[str], bank_type: BankType, given: Path | None = None) -> Path:
    """The bank graph of a compiled one for `modules`, beside it; written now if it is not there.

    Blocks and links as above.
    """
    from tsugiki.backbones.bank_graph import RECIPE, write_bank_graph

    recipe = hashlib.sha256(json.dumps([RECIPE, *modules]).encode()).hexdigest()[:12]
    bank = graph.with_name(f"{graph.stem}-bank-{bank_type}-{recipe}.onnx")
    return _ensure(bank, lambda part: write_bank_graph(graph, part, modules, bank_type), given)


def _key(source: Source, weights_sha256: str) -> str:
    recipe = {
        "weights": weights_sha256,
        "config": sha256(source.config) if source.config.is_file() else None,
        "network": source.network,
        "pooled": source.pooled,
        "longest": [source.max_tokens, source.seconds],
        "view": None if source.view is None else asdict(source.view),
        "levels": None if source.levels is None else asdict(source.levels),
        "hearing": None if source.hearing is None else asdict(source.hearing),
        "opset": OPSET,
        "recipe": RECIPE,
    }
    return hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:32]


def _intact(graph: Path) -> bool:
    beside = graph.with_suffix(".sha256")
    return graph.is_file() and beside.is_file() and beside.read_text() == sha256(graph)


def _ensure(graph: Path, write: Callable[[Path], None], given: Path | None) -> Path:
    with _locked(graph.with_suffix(".lock")):
        if _intact(graph):
            return graph
        if given is not None and _intact(given / graph.name):
            _link(graph, (given / graph.name).resolve())
        else:
            _build(graph, write)
    return graph


def _link(graph: Path, given: Path) -> None:
    """What is measured of a graph is kept beside it, so it has a name here; its bytes stay where they are."""
    part = graph.with_suffix(".part")
    part.unlink(missing_ok=True)
    part.symlink_to(given)
    part.replace(graph)
    digest = graph.with_suffix(".sha256.part")
    digest.write_bytes(given.with_suffix(".sha256").read_bytes())
    _publish(digest, graph.with_suffix(".sha256"))


def _build(graph: Path, write: Callable[[Path], None]) -> None:
    part = graph.with_suffix(".part")
    try:
        write(part)
        digest = graph.with_suffix(".sha256.part")
        digest.write_text(sha256(part))
        # The digest last: after a crash between the two renames the graph is built again, never trusted.
        _publish(part, graph)
        _publish(digest, graph.with_suffix(".sha256"))
    finally:
        part.unlink(missing_ok=True)


def _compile(source: Source, destination: Path) -> None:
    command = [sys.executable, "-m", "tsugiki.backbones.graph", str(destination)]
    try:
        # The compiler leaves caches where temporary files go: they end with it.
        with tempfile.TemporaryDirectory() as scratch:
            child = subprocess.run(
                command,
                input=encode(source),
                capture_output=True,
                text=True,
                timeout=BUILD_TIMEOUT_S,
                env=_environment() | {"TMPDIR": scratch},
                check=False,
            )
    except subprocess.TimeoutExpired as error:
        raise _failed(source, f"not done after {BUILD_TIMEOUT_S} s") from error
    if child.returncode != 0:
        last = child.stderr.strip().splitlines()[-KEPT_LINES:]
        raise _failed(source, f"exit status {child.returncode}\n" + "\n".join(last))


def _failed(source: Source, reason: str) -> Unavailable:
    return Unavailable(f"backbone {source.name!r} could not be compiled: {reason}", code="backbone_build_failed")


def _environment() -> dict[str, str]:
    # Our own search path is handed on, and nothing else: a packed service finds the core by it, not as a package.
    path = os.pathsep.join(os.path.abspath(entry) for entry in sys.path)
    offline = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
    return os.environ | offline | {"OMP_NUM_THREADS": "1", "PYTHONPATH": path, "PYTHONSAFEPATH": "1"}


def _publish(part: Path, path: Path) -> None:
    _sync(part)
    part.replace(path)
    _sync(path.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _locked(path: Path) -> Generator[None]:
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # let go when the file closes, also by a killed process
        yield
