from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from safetensors.numpy import save

from tests.storage.making import graft
from tsugiki.domain import HeadScope, Json, LoraDelta, LoraPair, WeightsDelta
from tsugiki.errors import ArtifactCorrupt
from tsugiki.storage.grafts import decode, encode

if TYPE_CHECKING:
    from tsugiki.domain import Floats


def test_a_graft_comes_back_as_it_was() -> None:
    made = graft(0.25, ("naïve", "日本", "z"))
    read = decode(encode(made))
    np.testing.assert_array_equal(read.head.weight, made.head.weight)
    np.testing.assert_array_equal(read.head.bias, made.head.bias)
    assert replace(read, head=made.head) == made
    assert (read.head.labels, read.head.temperature) == (made.head.labels, made.head.temperature)


def test_a_scope_comes_back_as_it_was_and_broken_ones_are_refused() -> None:
    plain = graft(0.25, ("a", "b"))
    scope = HeadScope(plain.head.weight + np.float32(1), 0.5, -0.75)
    made = replace(plain, head=replace(plain.head, scope=scope))
    read = decode(encode(made)).head.scope
    assert read is not None
    np.testing.assert_array_equal(read.means, scope.means)
    assert (read.certainty, read.least) == (0.5, -0.75)
    assert decode(encode(plain)).head.scope is None
    for broken in (
        replace(scope, means=scope.means[:0]),
        replace(scope, means=scope.means[:, :1]),
        replace(scope, means=np.concatenate([scope.means, scope.means])),
        replace(scope, certainty=-1.0),
        replace(scope, means=scope.means * np.float32(np.nan)),
    ):
        with pytest.raises(ArtifactCorrupt):
            decode(encode(replace(plain, head=replace(plain.head, scope=broken))))


def drawn(*shape: int) -> Floats:
    return np.random.default_rng(sum(shape)).standard_normal(shape, np.float32)


def test_an_adapter_comes_back_as_it_was() -> None:
    pairs = {"layer.0.query": LoraPair(drawn(4, 2), drawn(2, 4)), "layer.0.dense": LoraPair(drawn(4, 3), drawn(3, 8))}
    made = replace(graft(), method="lora", delta=LoraDelta(pairs))
    read = decode(encode(made))
    assert isinstance(read.delta, LoraDelta)
    assert read.delta.rank == 3
    assert read.delta.modules.keys() == pairs.keys()
    for module, pair in pairs.items():
        np.testing.assert_array_equal(read.delta.modules[module].down, pair.down)
        np.testing.assert_array_equal(read.delta.modules[module].up, pair.up)
    assert encode(read) == encode(made)


def test_replaced_weights_come_back_as_they_were() -> None:
    tensors = {"layer.0.dense.weight": drawn(4, 8), "layer.0.dense.bias": drawn(4)}
    made = replace(graft(), method="full", delta=WeightsDelta(tensors))
    read = decode(encode(made))
    assert isinstance(read.delta, WeightsDelta)
    assert read.delta.size_bytes == 4 * 36
    for name, values in tensors.items():
        np.testing.assert_array_equal(read.delta.tensors[name], values)


@pytest.mark.parametrize(
    "change",
    [
        {"lora/q/down": np.ones((4, 2), np.float32)},
        {"lora/q/down": np.ones((4, 2), np.float32), "lora/q/up": np.ones((3, 4), np.float32)},
        {"lora/q/down": np.ones((4, 0), np.float32), "lora/q/up": np.ones((0, 4), np.float32)},
        {"lora/q/down": np.ones((4, 2), np.float32), "lora/k/up": np.ones((2, 4), np.float32)},
        {"lora/q/down": np.ones((4, 2), np.float32), "replaced/q": np.ones(4, np.float32)},
        {"replaced/q": np.ones(4, np.float64)},
        {"replaced/q": np.full(4, np.nan, np.float32)},
    ],
)
def test_other_deltas_are_refused(change: dict[str, Floats]) -> None:
    with pytest.raises(ArtifactCorrupt):
        decode(rewritten(lambda held, tensors: tensors.update(change)))


def test_the_same_graft_is_the_same_bytes() -> None:
    details = {"b": 1, "a": [1, 2], "c": {"z": 0, "y": 1}}
    turned = {"c": {"y": 1, "z": 0}, "a": [1, 2], "b": 1}
    made = graft()
    fortran = replace(made.head, weight=np.asfortranarray(made.head.weight))
    assert {encode(replace(made, details=details)) for _ in range(10)} == {
        encode(replace(made, details=turned, head=fortran))
    }


def test_a_number_that_is_none_is_not_written() -> None:
    with pytest.raises(ValueError, match="JSON"):
        encode(replace(graft(), details={"strength": float("nan")}))


def words(data: bytes) -> Json:
    length = int.from_bytes(data[:8], "little")
    return json.loads(json.loads(data[8 : 8 + length])["__metadata__"]["tsugiki"])


def rewritten(change: Callable[[Json, dict[str, Floats]], object]) -> bytes:
    made = graft()
    held, tensors = words(encode(made)), {"weight": made.head.weight, "bias": made.head.bias}
    change(held, tensors)
    return save(tensors, metadata={"tsugiki": json.dumps(held)})


def test_the_rewriting_of_these_tests_is_sound() -> None:
    assert decode(rewritten(lambda held, tensors: None)).method == "head"


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"method": "pickle"},
        {"method": ["head"]},
        {"feature_space": 7},
        {"labels": ["no"]},
        {"labels": ["no", "no"]},
        {"labels": ["no", ""]},
        {"labels": ["no", 1]},
        {"labels": "no"},
        {"temperature": 0.0},
        {"temperature": -1.0},
        {"temperature": float("nan")},
        {"temperature": float("inf")},
        {"temperature": "1"},
        {"temperature": True},
        {"details": []},
        {"more": 1},
    ],
)
def test_other_words_are_refused(change: Json) -> None:
    with pytest.raises(ArtifactCorrupt):
        decode(rewritten(lambda held, tensors: held.update(change)))


@pytest.mark.parametrize(
    "change",
    [
        {"weight": np.ones((3, 4), np.float32)},
        {"weight": np.ones((2, 4), np.float64)},
        {"weight": np.ones((2, 0), np.float32)},
        {"weight": np.ones(8, np.float32)},
        {"weight": np.full((2, 4), np.nan, np.float32)},
        {"bias": np.ones((2, 1), np.float32)},
        {"bias": np.array([0, np.inf], np.float32)},
        {"bias": np.ones(2, np.int32)},
        {"more": np.ones(1, np.float32)},
    ],
)
def test_other_numbers_are_refused(change: dict[str, Floats]) -> None:
    with pytest.raises(ArtifactCorrupt):
        decode(rewritten(lambda held, tensors: tensors.update(change)))


@pytest.mark.parametrize("missing", ["format", "labels", "temperature", "method", "feature_space", "details"])
def test_missing_words_are_refused(missing: str) -> None:
    with pytest.raises(ArtifactCorrupt):
        decode(rewritten(lambda held, tensors: held.pop(missing)))


def test_bytes_that_are_no_graft_are_refused() -> None:
    whole = encode(graft())
    plain = save({"weight": graft().head.weight, "bias": graft().head.bias})
    nulled = save({"weight": graft().head.weight, "bias": graft().head.bias}, metadata={"tsugiki": "null"})
    cuts = [whole[:size] for size in range(0, len(whole), 7)]
    for data in (*cuts, plain, nulled, whole + b"\0", b"\xff" * 100, b"\x80\x04N."):
        with pytest.raises(ArtifactCorrupt):
            decode(data)


def test_flipped_bits_are_refused_or_leave_a_valid_graft() -> None:
    """Without its sha256 a flip in a number cannot be seen; nothing else than ArtifactCorrupt may come of it."""
    whole = encode(graft())
    random = np.random.default_rng(0)
    for bit in random.integers(0, len(whole) * 8, 500):
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << (bit % 8)
        try:
            read = decode(bytes(flipped))
        except ArtifactCorrupt:
            continue
        assert np.isfinite(read.head.weight).all()
