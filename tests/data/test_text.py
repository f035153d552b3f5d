"""What is refused before a text is normalised: what would take the whole process with it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tsugiki.data.text import MAX_MARKS, RowRefused, clean_label, clean_text

MARKS = "\u0300\u0316"  # above and below: to be sorted


@pytest.mark.parametrize(("clean", "code"), [(clean_text, "input_invalid"), (clean_label, "label_invalid")])
def test_a_letter_with_more_marks_than_any_writing_has_is_refused(clean: Callable[[str, str], str], code: str) -> None:
    stacked = "x" + MARKS * (MAX_MARKS // 2)
    assert len(clean(stacked, "/there")) > MAX_MARKS // 2
    with pytest.raises(RowRefused, match="combining marks") as refused:
        clean(stacked + MARKS[0], "/there")
    assert refused.value.reason == code


def test_a_label_of_millions_of_marks_is_refused_as_one_of_a_few_is() -> None:
    with pytest.raises(RowRefused, match="combining marks"):
        clean_label("x" + MARKS * 2_000_000, "/label")  # normalising that would take a day


@pytest.mark.parametrize(
    "text", ["Việt Nam", "é" * 100, "e\u0301" * 100, "हिन्दी में लिखा", "שָׁלוֹם עֲלֵיכֶם", "これは日本語です"]
)
def test_what_people_write_is_not(text: str) -> None:
    assert clean_text(text, "/input")
    assert clean_label(text, "/label")
