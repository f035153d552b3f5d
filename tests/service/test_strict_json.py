"""JSON bodies: what is refused and where, and that a hostile one costs no more than an honest one of its size."""

from __future__ import annotations

import pytest

from service.strict_json import PLACED_BYTES, read_json
from tsugiki.errors import Invalid


@pytest.mark.parametrize(
    ("body", "code", "place"),
    [
        (b'{"a": [1, {"b": NaN}]}', "json_not_finite", "/a/1/b"),
        (b'{"a": 1e999}', "json_not_finite", "/a"),
        (b'{"a": 9223372036854775808}', "json_number", "/a"),
        (b'{"a": {"b": 1, "b": 2}}', "json_duplicate_key", "/a/b"),
        (b"[-Infinity]", "json_not_finite", "/0"),
    ],
)
def test_a_refusal_names_the_place(body: bytes, code: str, place: str) -> None:
    with pytest.raises(Invalid) as refused:
        read_json(body)
    assert refused.value.reason == code
    assert [issue.pointer for issue in refused.value.issues] == [place]


def test_a_long_body_is_refused_at_its_first_trouble_without_a_place() -> None:
    body = b"[" + b"NaN," * PLACED_BYTES + b"0]"
    with pytest.raises(Invalid) as refused:
        read_json(body)
    assert (refused.value.reason, refused.value.issues[0].pointer) == ("json_not_finite", "")


def test_what_is_unusual_and_right_is_read() -> None:
    body = b'[9223372036854775807, -9223372036854775808, 1e3, 1.5E-2, "1e999", "12345678901234567890"]'
    assert read_json(body) == [2**63 - 1, -(2**63), 1000.0, 0.015, "1e999", "12345678901234567890"]
