"""What goes before a newcomer, by power of two, against a look at every tenant."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tsugiki.runtime.backlog import Backlog

TOKENS = st.integers(0, 100_000)


def filled(waiting: list[int]) -> Backlog:
    backlog = Backlog()
    for tokens in waiting:
        backlog.change(0, tokens)
    return backlog


@given(st.lists(TOKENS, max_size=50), TOKENS)
def test_nobody_is_reckoned_with_more_than_it_has_nor_with_less_than_its_part(waiting: list[int], tokens: int) -> None:
    backlog = filled(waiting)
    found, exact = backlog.served_by(tokens), sum(min(each, tokens) for each in waiting)
    assert exact <= found <= min(sum(waiting), 2 * exact)
    unlike = [each for each in waiting if each.bit_length() != tokens.bit_length()]
    assert filled(unlike).served_by(tokens) == sum(min(each, tokens) for each in unlike)


@given(st.lists(st.tuples(TOKENS, TOKENS), max_size=50), TOKENS)
def test_what_a_tenant_had_is_forgotten(changes: list[tuple[int, int]], tokens: int) -> None:
    backlog = filled([before for before, _ in changes])
    for before, after in changes:
        backlog.change(before, after)
    assert backlog.tokens == sum(after for _, after in changes)
    assert backlog.served_by(tokens) == filled([after for _, after in changes]).served_by(tokens)
    for _, after in changes:
        backlog.change(after, 0)
    assert (backlog.tokens, backlog.served_by(tokens)) == (0, 0)
