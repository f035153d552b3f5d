"""A set of labels as one text, whatever the labels are."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tsugiki.domain import LINE, tell_labels, told_labels, usable_labels

NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(lambda text: text == text.strip())


@given(st.sets(NAMES, max_size=5), NAMES)
def test_a_set_is_told_and_heard_and_a_label_found_in_it_as_a_text(labels: set[str], other: str) -> None:
    told = tell_labels(labels)
    assert told_labels(told) == tuple(sorted(labels))
    assert tell_labels(reversed(sorted(labels))) == told
    for label in labels | {other}:
        assert (tell_labels([label]) in told) == (label in labels)


@given(NAMES)
def test_a_label_is_itself_and_never_taken_for_a_set(label: str) -> None:
    assert told_labels(label) == (label,)
    assert told_labels(LINE) == ()


def test_a_label_is_usable_that_two_have_and_two_have_not() -> None:
    counts = {tell_labels(["a", "b"]): 2, tell_labels(["a", "c"]): 1, tell_labels(["a"]): 1}
    assert usable_labels(counts) == ("b",)
    assert usable_labels({**counts, tell_labels([]): 2}) == ("a", "b")
