"""A graft as bytes and back: safetensors for the numbers, JSON in its header for the words (I9)."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, assert_never, cast, get_args

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from tsugiki.domain import (
    MAX_LABELS,
    Delta,
    Graft,
    Head,
    HeadScope,
    Json,
    LoraDelta,
    LoraPair,
    MethodName,
    WeightsDelta,
)
from tsugiki.errors import ArtifactCorrupt

if TYPE_CHECKING:
    from tsugiki.domain import Floats

FORMAT = 1
WORDS = "tsugiki"  # the one metadata key: safetensors writes several in an order of its own, bytes would differ
LENGTH_BYTES = 8  # of the header's length, https://github.com/huggingface/safetensors#format
HEAD = {"weight", "bias"}
LORA, DOWN, UP = "lora/", "/down", "/up"  # lora/<module>/down, (in, rank), and lora/<module>/up, (rank, out)
REPLACED = "replaced/"  # replaced/<parameter>
MEANS = "means"  # of the scope, (means, dim)
THRESHOLDS = "thresholds"  # (classes,), where labels are questions of their own
KEYS = {"format", "method", "feature_space", "labels", "temperature", "scope", "details"}


def encode(graft: Graft) -> bytes:
    """The same graft gives the same bytes, so its sha256 is its identity."""
    words = {
        "format": FORMAT,
        "method": graft.method,
        "feature_space": graft.feature_space,
        "labels": list(graft.head.labels),
        "temperature": float(graft.head.temperature),
        "scope": None if (scope := graft.head.scope) is None else {"certainty": scope.certainty, "least": scope.least},
        "details": graft.details,
    }
    text = json.dumps(words, sort_keys=True, allow_nan=False, separators=(",", ":"))
    tensors = {"weight": graft.head.weight, "bias": graft.head.bias, **_delta_tensors(graft.delta)}
    if scope is not None:
        tensors[MEANS] = scope.means
    if graft.head.thresholds is not None:
        tensors[THRESHOLDS] = graft.head.thresholds
    plain = {name: np.ascontiguousarray(values, dtype=np.float32) for name, values in tensors.items()}
    return save(plain, metadata={WORDS: text})


def decode(data: bytes) -> Graft:
    """Raises ArtifactCorrupt on anything but what `encode` writes."""
    try:
        tensors = load(data)
        words = _words(data)
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise ArtifactCorrupt("These bytes are no graft.") from error
    labels = _labels(words)
    for values in tensors.values():
        _require(values.dtype == np.float32, "number type")
        _require(bool(np.isfinite(values).all()), "set of numbers (not all finite)")
    weight, bias = _head_tensors(tensors, len(labels))
    temperature = words["temperature"]
    _require(isinstance(temperature, float) and math.isfinite(temperature) and temperature > 0, "temperature")
    _require(words["method"] in get_args(MethodName), "method")
    _require(isinstance(words["feature_space"], str), "feature space")
    _require(isinstance(words["details"], dict), "details")
    return Graft(
        method=cast(MethodName, words["method"]),
        feature_space=words["feature_space"],
        head=Head(weight, bias, temperature, labels, _scope(words["scope"], tensors), _thresholds(tensors)),
        details=words["details"],
        delta=_delta(tensors),
    )


def _delta_tensors(delta: Delta | None) -> dict[str, Floats]:
    match delta:
        case None:
            return {}
        case LoraDelta():
            pairs = delta.modules.items()
            return {LORA + module + DOWN: pair.down for module, pair in pairs} | {
                LORA + module + UP: pair.up for module, pair in pairs
            }
        case WeightsDelta():
            return {REPLACED + name: values for name, values in delta.tensors.items()}
        case _:
            assert_never(delta)


def _delta(tensors: dict[str, Floats]) -> Delta | None:
    """The kind is told by the tensors' names; a file holds one kind."""
    beside = {name: values for name, values in tensors.items() if name not in HEAD | {MEANS, THRESHOLDS}}
    if not beside:
        return None
    if all(name.startswith(REPLACED) for name in beside):
        return WeightsDelta({name.removeprefix(REPLACED): values for name, values in beside.items()})
    _require(all(name.startswith(LORA) and name.endswith((DOWN, UP)) for name in beside), "set of tensors")
    modules = sorted({name.removeprefix(LORA).rpartition("/")[0] for name in beside})
    _require(all({LORA + module + DOWN, LORA + module + UP} <= beside.keys() for module in modules), "pairs of LoRA")
    return LoraDelta({module: _pair(beside[LORA + module + DOWN], beside[LORA + module + UP]) for module in modules})


def _pair(down: Floats, up: Floats) -> LoraPair:
    _require(down.ndim == 2 and up.ndim == 2 and down.shape[1] == up.shape[0] > 0, "shape of LoRA matrices")
    return LoraPair(down, up)


def _words(data: bytes) -> Json:
    length = int.from_bytes(data[:LENGTH_BYTES], "little")
    header = json.loads(data[LENGTH_BYTES : LENGTH_BYTES + length])
    words: Any = json.loads(header["__metadata__"][WORDS])  # Any: whatever the file holds
    _require(isinstance(words, dict), "header")
    known = cast(Json, words)
    _require(known.keys() == KEYS, "header")
    _require(known["format"] == FORMAT, f"format (this code reads {FORMAT})")
    return known


def _labels(words: Json) -> tuple[str, ...]:
    _require(isinstance(words["labels"], list), "labels")
    labels = cast(list[object], words["labels"])
    names = tuple(label for label in labels if isinstance(label, str) and label)
    _require(len(names) == len(labels), "labels")
    _require(1 <= len(names) <= MAX_LABELS and len(set(names)) == len(names), "number of labels")
    return names


def _head_tensors(tensors: dict[str, Floats], classes: int) -> tuple[Floats, Floats]:
    """Weight (classes, dim) and bias (classes,)."""
    _require(tensors.keys() >= HEAD, "set of tensors")
    weight, bias = tensors["weight"], tensors["bias"]
    _require(weight.ndim == 2 and weight.shape[1] > 0, "shape of the weight")
    _require(weight.shape[0] == classes and bias.shape == (classes,), "number of classes")
    return weight, bias


def _thresholds(tensors: dict[str, Floats]) -> Floats | None:
    thresholds = tensors.get(THRESHOLDS)
    _require(thresholds is None or thresholds.shape == tensors["bias"].shape, "number of thresholds")
    return thresholds


def _scope(words: Any, tensors: dict[str, Floats]) -> HeadScope | None:
    """`words` are whatever the file holds."""
    _require((words is None) == (MEANS not in tensors), "scope")
    if words is None:
        return None
    _require(isinstance(words, dict) and cast(Json, words).keys() == {"certainty", "least"}, "scope")
    told = cast(Json, words)
    certainty, least = told["certainty"], told["least"]
    _require(isinstance(certainty, float) and math.isfinite(certainty) and certainty >= 0, "scope's certainty")
    _require(isinstance(least, float) and math.isfinite(least), "scope's least familiarity")
    means, weight = tensors[MEANS], tensors["weight"]
    _require(means.ndim == 2 and means.shape[1] == weight.shape[1], "shape of the scope's means")
    _require(1 <= len(means) <= len(weight) + 1, "number of the scope's means")
    return HeadScope(means, certainty, least)


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise ArtifactCorrupt(f"A graft's {what} is not what this code writes.")
