"""The beginning of a text: what a head has not been fitted on, though it is like what it was."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsugiki.data.text import beginning


@pytest.mark.parametrize(
    ("text", "half"), [("pay my bill", "pay my"), ("pay it", "pay"), ("refund", "ref"), ("  odd\t", "od"), ("x", "x")]
)
def test_a_beginning_is_the_first_half(text: str, half: str) -> None:
    assert beginning(text) == half


@given(st.text(min_size=1).filter(lambda text: bool(text.strip())))
def test_the_beginning_of_a_text_is_never_blank(text: str) -> None:
    assert beginning(text).strip()
