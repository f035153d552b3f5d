"""The zip which a tenant takes away: model, preprocessing, labels, program, and the certificate of parity."""

from __future__ import annotations

import hashlib
import json
import tempfile
import time
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tsugiki.backbones import Loaded
from tsugiki.backbones.replaced import change
from tsugiki.domain import Graft, Json, Precision
from tsugiki.errors import ParityMissed, WrongFeatureSpace
from tsugiki.export import onnx
from tsugiki.export.parity import Over, Parity, certify
from tsugiki.export.quantise import quantise
from tsugiki.export.standalone import FORMAT, Classifier, Refused

if TYPE_CHECKING:
    from tsugiki.domain import Content, Floats, HeadScope

PACKAGES = ("numpy", "onnxruntime")  # what predict.py imports, whatever it reads
LATENCY_RUNS = 32  # single inputs timed: enough for a median, too few for more than a rough 95th percentile
EPOCH = (1980, 1, 1, 0, 0, 0)  # the zip format's first moment: equal contents give equal bytes
READABLE = 0o100644 << 16  # a plain file, rw-r--r--, where zip keeps Unix modes


@dataclass(frozen=True, slots=True)
class Bundle:
    """`path` is the finished zip; `latency` is of one input, in ms, reading it from characters or bytes included."""

    path: Path
    bytes: int
    sha256: str
    parity: Parity
    latency: Json

    @property
    def certificate(self) -> Json:
        """The parity, as the API tells it."""
        return asdict(self.parity)


def build(
    destination: Path,
    loaded: Loaded,
    graft: Graft,
    facts: Json,
    precision: Precision,
    inputs: Sequence[Content],
    reference: Floats,
    check: Callable[[], None] = lambda: None,
    abstain_below: float | None = None,
    over: Over = "samples",
) -> Bundle:
    """Writes the zip of a graft to `destination`, which the caller renames to where it is to be found.

    `inputs` are texts or files, which are read in this process: only such as the service has read. `reference` (inputs,
    classes) holds its own probabilities of them, columns in the order of `graft.head.labels`, and of a head with a
    scope or thresholds the margins behind them. Scores under `abstain_below` answer `abstain`. `facts` go into the
    manifest as they are, and `over`, what the inputs are, into the certificate. `check` is called between the steps,
    and raises to stop the work.
    Raises ParityMissed, WrongFeatureSpace; then no zip is left. Takes some three times the model's size in memory.
    """
    space = loaded.backbone.space.id
    if graft.feature_space != space:
        raise WrongFeatureSpace(f"the graft was fitted in {graft.feature_space}, the backbone yields {space}")
    with tempfile.TemporaryDirectory(dir=destination.parent, prefix="export-") as stage:
        folder = Path(stage)
        manifest = _stage(folder, loaded, graft, precision) | {"version": facts, "abstain_below": abstain_below}
        _write_json(folder / "manifest.json", manifest)
        check()
        classifier = Classifier(folder, threads=1)
        if tuple(classifier.labels) != graft.head.labels:
            raise ParityMissed("the export's labels are not the version's; this is a bug")
        check()
        found = _answers(classifier, inputs)
        served_in, classes = loaded.backbone.space.precision, len(classifier.labels)
        several = graft.head.thresholds is not None
        scale = 1.0 if graft.head.scope is None else _squared_length(graft.head.scope, loaded)
        parity = certify(found, reference, precision, served_in, classes=classes, several=several, scale=scale)
        parity = replace(parity, over=over)
        check()
        latency = _latency(classifier, inputs)
        check()
        _write_json(folder / "manifest.json", manifest | {"parity": asdict(parity)})
        _zip(folder, destination)
    return Bundle(destination, destination.stat().st_size, _sha256(destination), parity, latency)


def _stage(folder: Path, loaded: Loaded, graft: Graft, precision: Precision) -> Json:
    """Puts every file but the manifest into the folder, and returns what the manifest says of them."""
    model = onnx.read(loaded.graph)
    if graft.delta is not None:
        change(model, graft.delta)
    if precision == "int8":
        quantise(model)
    onnx.append_head(model, graft.head)
    onnx.write(model, folder / "model.onnx")
    reading = loaded.backbone.reading()
    for name, content in reading.files.items():
        (folder / name).write_bytes(content)
    _write_json(folder / "labels.json", list(graft.head.labels))
    (folder / "predict.py").write_bytes(files("tsugiki.export").joinpath("standalone.py").read_bytes())
    packages = (*PACKAGES, *reading.packages)
    (folder / "requirements.txt").write_text("".join(f"{name}=={version(name)}\n" for name in packages))
    backbone = loaded.backbone.space
    staged = sorted(folder.iterdir())
    return {
        "format": FORMAT,
        "method": graft.method,
        "task": "single_label" if graft.head.thresholds is None else "multi_label",
        "precision": precision,
        "opset": onnx.opset(model),
        "backbone": {"name": backbone.backbone, "sha256": backbone.backbone_sha256, "licence": loaded.source.licence},
        "feature_space": backbone.id,
        "preprocessing": reading.settings,
        "files": {path.name: {"sha256": _sha256(path), "bytes": path.stat().st_size} for path in staged},
    }


def _zip(folder: Path, destination: Path) -> None:
    """Stored, not deflated: float weights shrink by a twelfth, and take seconds for it."""
    with zipfile.ZipFile(destination, "w", zipfile.ZIP_STORED) as archive:
        for path in sorted(path for path in folder.iterdir() if path.is_file()):  # not what Python keeps of modules
            entry = zipfile.ZipInfo(path.name, EPOCH)
            entry.create_system, entry.external_attr = 3, READABLE
            archive.writestr(entry, path.read_bytes())


def _answers(classifier: Classifier, inputs: Sequence[Content]) -> Floats:
    try:
        return classifier.probabilities(inputs)
    except Refused as error:
        raise ParityMissed(f"the export cannot read what the service reads: {error}") from error


def _squared_length(scope: HeadScope, loaded: Loaded) -> float:
    """Of each part that a feature is joined from, by the means of the classes': at most 1 where they are normalised."""
    return float(np.square(scope.means).sum(axis=1).mean()) / len(loaded.backbone.space.widths)


def _latency(classifier: Classifier, inputs: Sequence[Content]) -> Json:
    taken: list[float] = []
    for i in _spread(len(inputs), LATENCY_RUNS):
        started = time.perf_counter()
        classifier.probabilities([inputs[i]])
        taken.append((time.perf_counter() - started) * 1000)
    p50, p95 = (round(float(value), 3) for value in np.percentile(taken, (50, 95)))
    return {"p50_ms": p50, "p95_ms": p95, "batch": 1, "threads": 1, "runs": len(taken)}


def _spread(count: int, most: int) -> list[int]:
    """`most` indices evenly over `count`, or all: (5, 3) -> [0, 2, 4]."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(int)).tolist() if count else []


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
