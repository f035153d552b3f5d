"""Hyperparameters: fields of a method's own dataclass that a caller may set, each with its range and its meaning.

>>> @dataclass(frozen=True, slots=True)
... class Lora:
...     rank: int = whole(16, "rank of the matrices", least=1, most=64)
>>> tuned(Lora(), {"rank": 8})
Lora(rank=8)
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol, cast, runtime_checkable

from tsugiki.errors import Invalid, Issue

if TYPE_CHECKING:
    from tsugiki.domain import Json
    from tsugiki.ports import Method

KEY = "hyperparameter"  # of a field's metadata
POINTER = "/hyperparameters"  # within the request that asks for an adaptation

# Of what methods share: whatever may make sense, so that a slip of the keyboard is told before hours of training.
LEAST_RATE, MOST_RATE = 1e-7, 0.1  # BERT's are 2e-5 to 5e-5 (Devlin et al. 2019), LoRA's up to 5e-3
LEAST_EPOCHS, MOST_EPOCHS = 0.1, 200.0
MOST_BLOCKS = 64  # of a larger network than any that is served here; more than it has are all
MOST_DECAY = 1.0
MOST_SMOOTHING = 0.5  # beyond, the right label is the least likely of two
SHOWN = 40  # characters of what was given that a message repeats: enough to find it, too little to hold a text


@dataclass(frozen=True, slots=True)
class Hyperparameter:
    """A number of `least` to `most`, perhaps `whole`; or one of `words`. `null` says what null is, if it may be."""

    meaning: str
    least: float = 0.0
    most: float = math.inf
    whole: bool = False
    words: tuple[str, ...] = ()
    null: str | None = None

    @property
    def possible(self) -> str:
        """`a whole number from 1 to 64`, `attention or all`."""
        if self.words:
            told = " or ".join(self.words)
        else:
            least, most = (f"{int(end)}" if self.whole else f"{end:g}" for end in (self.least, self.most))
            told = f"a {'whole ' if self.whole else ''}number from {least} to {most}"
        return told if self.null is None else f"{told}, or null: {self.null}"

    def allows(self, value: object) -> bool:
        if value is None:
            return self.null is not None
        if self.words:
            return isinstance(value, str) and value in self.words
        kinds = (int,) if self.whole else (int, float)
        return isinstance(value, kinds) and not isinstance(value, bool) and self.least <= value <= self.most


SEED = Hyperparameter("what is drawn with: folds, intervals, the order of batches", 0, 2**32 - 1, whole=True)


def whole(default: Any, meaning: str, *, least: int, most: int, null: str | None = None) -> Any:  # Any: as field()
    return field(default=default, metadata={KEY: Hyperparameter(meaning, least, most, whole=True, null=null)})


def number(default: Any, meaning: str, *, least: float, most: float, null: str | None = None) -> Any:
    return field(default=default, metadata={KEY: Hyperparameter(meaning, least, most, null=null)})


def a_part_of(blocks: int, part: float) -> int:
    """How many that is, one at least: where `top_blocks` is not given."""
    return max(1, round(part * blocks))


def epochs(default: float, besides: str = "") -> Any:
    return number(default, f"passes over the samples, at most{besides}", least=LEAST_EPOCHS, most=MOST_EPOCHS)


def rate(default: float | None, whose: str, null: str | None = None) -> Any:
    return number(default, f"the learning rate at its peak, {whose}", least=LEAST_RATE, most=MOST_RATE, null=null)


def decay(default: float) -> Any:
    return number(default, "what matrices lose a step, times its learning rate", least=0.0, most=MOST_DECAY)


def smoothing(default: float) -> Any:
    return number(default, "probability spread over the other labels", least=0.0, most=MOST_SMOOTHING)


def choice(default: Any, meaning: str, words: Sequence[str]) -> Any:
    return field(default=default, metadata={KEY: Hyperparameter(meaning, words=tuple(words))})


@runtime_checkable
class Around(Protocol):
    """A method that stands for another one."""

    @property
    def method(self) -> Method: ...


def offered(method: object) -> dict[str, Hyperparameter]:
    """What a method takes besides the seed, by name."""
    if isinstance(method, Around):
        return offered(method.method)
    if not is_dataclass(method):
        return {}
    return {one.name: one.metadata[KEY] for one in fields(method) if KEY in one.metadata}


def used(method: object) -> Json:
    """The values a method has of them: what a graft tells of itself."""
    return {name: getattr(method, name) for name in offered(method)}


def check(given: Mapping[str, object], takes: Mapping[str, Hyperparameter], whose: str) -> None:
    """Raises Invalid naming each place, what was given there, and what may be."""
    known = {"seed": SEED, **takes}
    issues = [issue for name, value in given.items() if (issue := _issue(name, value, known.get(name), known, whose))]
    if issues:
        raise Invalid(
            f"{issues[0].pointer}: {issues[0].detail}" + (f" (and {len(issues) - 1} more)" if issues[1:] else ""),
            fix=issues[0].fix,
            code="hyperparameter_invalid",
            issues=issues,
        )


def tuned(method: Method, given: Mapping[str, object]) -> Method:
    """The method with these values instead of its own. Raises Invalid `hyperparameter_invalid`."""
    takes = offered(method)
    check(given, takes, f"method {method.name}")
    wanted = {name: value for name, value in given.items() if name in takes}
    return _with(method, wanted) if wanted else method


def _with(method: Method, wanted: Mapping[str, object]) -> Method:
    changed = {"method": _with(method.method, wanted)} if isinstance(method, Around) else dict(wanted)
    return cast("Method", replace(cast(Any, method), **changed))  # Any: a dataclass, or it would offer nothing


def _issue(
    name: str, value: object, one: Hyperparameter | None, known: Mapping[str, Hyperparameter], whose: str
) -> Issue | None:
    pointer = f"{POINTER}/{_clipped(name).replace('~', '~0').replace('/', '~1')}"
    if one is None:
        return Issue(
            "hyperparameter_unknown", pointer, f"{whose} has none of this name", f"it takes: {', '.join(known)}"
        )
    if one.allows(value):
        return None
    detail = f"{_clipped(repr(value))} was given, expected {one.possible}"
    return Issue("hyperparameter_value", pointer, detail, f"give {one.possible}, or leave it out")


def _clipped(text: str) -> str:
    return text if len(text) <= SHOWN else text[:SHOWN] + "…"
