"""JSON as the service takes it: UTF-8, finite numbers, 64-bit integers, no key twice. A refusal names the place."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

from tsugiki.errors import Invalid, Issue

SHOWN_CHARS = 100  # of a key or a number in a message: more would be a payload
PLACED_BYTES = 1 << 18  # naming the place reads the body again in Python: not of one that would take seconds
UNUSUAL_NUMBER = re.compile(rb"\d{19}|\d[eE]")  # perhaps beyond 64 bits or infinite; in a string it only costs time
INT64_DIGITS = 20  # the longest 64-bit integer with its sign; longer ones are refused before they are computed


@dataclass(frozen=True, slots=True)
class _Trouble:
    """Stands in the parsed tree where something cannot be accepted, until its place is known. `key` is in an object."""

    code: str
    detail: str
    fix: str
    key: str | None = None


class _Found(Exception):
    """Ends the quick reading at the first trouble."""

    def __init__(self, trouble: _Trouble) -> None:
        super().__init__(trouble.code)
        self.trouble = trouble


@dataclass(frozen=True, slots=True)
class _Reader:
    """What json calls back; `stop` ends the reading at the first trouble, else troubles stand in the tree."""

    stop: bool

    def object(self, pairs: list[tuple[str, Any]]) -> Any:
        found = dict(pairs)
        if len(found) == len(pairs):
            return found
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))
        return self._refuse("json_duplicate_key", f"the key {twice[:SHOWN_CHARS]!r} stands twice", "keep one", twice)

    def real(self, digits: str) -> Any:
        number = float(digits)
        return number if math.isfinite(number) else self.constant(digits[:SHOWN_CHARS])

    def integer(self, digits: str) -> Any:
        if len(digits) <= INT64_DIGITS and -(2**63) <= (number := int(digits)) < 2**63:
            return number
        detail = f"the number {digits[:SHOWN_CHARS]} does not fit 64 bits"
        return self._refuse("json_number", detail, "send it as a string")

    def constant(self, name: str) -> Any:
        return self._refuse("json_not_finite", f"{name} is not JSON", "send a finite number or null")

    def _refuse(self, code: str, detail: str, fix: str, key: str | None = None) -> _Trouble:
        trouble = _Trouble(code, detail, fix, key)
        if self.stop:
            raise _Found(trouble)
        return trouble


def read_json(body: bytes) -> Any:  # Any: any JSON
    """What the body says. Raises Invalid with the place as line and column, or as a JSON pointer."""
    try:
        text = body.decode("utf-8-sig")  # json alone would guess UTF-16 and let lone surrogates pass
        try:
            return (CAREFUL if UNUSUAL_NUMBER.search(body) else QUICK).decode(text)
        except _Found as found:
            if len(body) > PLACED_BYTES:
                raise _refused("", found.trouble) from None
            raise _refusal(PLACING.decode(text)) from None
    except UnicodeDecodeError as error:
        raise Invalid(f"the body is not UTF-8 (byte {error.start})", code="json_invalid", fix="send UTF-8") from None
    except json.JSONDecodeError as error:
        where = f"column {error.colno}" if error.lineno == 1 else f"line {error.lineno}, column {error.colno}"
        raise Invalid(
            f"the body is not JSON: {error.msg} at {where}", code="json_invalid", fix="mend it there"
        ) from None
    except RecursionError:
        raise Invalid("the body is nested too deeply", code="json_invalid", fix="send a flatter one") from None


def _decoder(*, stop: bool, numbers: bool) -> json.JSONDecoder:
    """`numbers`: check each; else they are left to C."""
    reader = _Reader(stop)
    return json.JSONDecoder(
        object_pairs_hook=reader.object,
        parse_constant=reader.constant,
        parse_float=reader.real if numbers else None,
        parse_int=reader.integer if numbers else None,
    )


# Raising _Found at the first trouble, for texts whose numbers are surely in range, and for all others.
QUICK, CAREFUL = _decoder(stop=True, numbers=False), _decoder(stop=True, numbers=True)
PLACING = _decoder(stop=False, numbers=True)


def pointer(parts: Sequence[int | str]) -> str:
    """A JSON pointer (RFC 6901) that can be sent: lone surrogates in keys are escaped."""
    named = "".join("/" + str(part)[:SHOWN_CHARS].replace("~", "~0").replace("/", "~1") for part in parts)
    return named.encode("utf-8", "backslashreplace").decode()


def _refusal(tree: object) -> Invalid:
    for path, node in _nodes(tree):
        if isinstance(node, _Trouble):
            place = pointer(path if node.key is None else [*path, node.key])
            return _refused(place, node)
    raise AssertionError("the outermost trouble always stands in the tree; this is a bug")


def _refused(place: str, trouble: _Trouble) -> Invalid:
    issue = Issue(trouble.code, place, trouble.detail, trouble.fix)
    return Invalid(f"{place or 'the body'}: {trouble.detail}", code=trouble.code, fix=trouble.fix, issues=[issue])


def _nodes(tree: object) -> Iterator[tuple[list[int | str], object]]:
    """Every value with its path, valid until the next: no recursion and no copy, as depth is the caller's choice."""
    path: list[int | str] = []
    yield path, tree
    open_ones = [_children(tree)]
    while open_ones:
        for key, value in open_ones[-1]:
            path.append(key)
            yield path, value
            open_ones.append(_children(value))
            break
        else:
            open_ones.pop()
            del path[-1:]


def _children(node: object) -> Iterator[tuple[int | str, object]]:
    if isinstance(node, dict):
        return iter(cast(dict[str, object], node).items())
    return enumerate(cast(list[object], node) if isinstance(node, list) else ())
