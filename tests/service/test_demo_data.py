from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from service.demo_data import Unreadable, read_tickets

BUNDLED = Path(__file__).parents[2] / "service" / "demo_tickets.csv"


def test_the_bundled_tickets_hold_each_label_equally_and_no_text_twice() -> None:
    tickets = read_tickets(BUNDLED)
    for part, per_label in ((tickets.first, 12), (tickets.later, 2), (tickets.unseen, 2)):
        assert set(Counter(label for _, label in part).values()) == {per_label}
    texts = [text for part in (tickets.first, tickets.later, tickets.unseen) for text, _ in part]
    assert (len(tickets.labels), len(texts), len(set(texts))) == (6, 96, 96)


def test_a_file_without_splits_is_parted_by_label_and_always_alike(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    rows = [f'"text, {i}",{"odd" if i % 2 else "even"}' for i in range(100)]
    path.write_text("\ufefftext,label,id\n" + "".join(f"{row},7\n" for row in [*rows, rows[0]]), encoding="utf-8")
    tickets = read_tickets(path)
    assert Counter(label for _, label in tickets.unseen) == {"odd": 10, "even": 10}
    assert Counter(label for _, label in tickets.later) == {"odd": 5, "even": 5}
    assert len({*tickets.first, *tickets.later, *tickets.unseen}) == 100
    assert read_tickets(path) == tickets


def test_a_small_label_keeps_its_samples_to_learn_from(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("text,label\n" + "".join(f"a{i},a\n" for i in range(20)) + "".join(f"b{i},b\n" for i in range(4)))
    tickets = read_tickets(path)
    assert Counter(label for _, label in tickets.first)["b"] == 4


def test_rows_without_text_or_label_are_counted_out(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text(
        "label,text\n" + " a ,one\n,two\nb, \nb\n" + "".join(f"a,text {i}\nb,more {i}\n" for i in range(20))
    )
    tickets = read_tickets(path)
    assert (tickets.left_out, tickets.labels) == (3, ["a", "b"])


def test_more_samples_than_the_first_call_takes_come_later(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("text,label\n" + "".join(f"text {i},{'abc'[i % 3]}\n" for i in range(15_000)))
    tickets = read_tickets(path)
    assert (len(tickets.first), len(tickets.later), len(tickets.unseen)) == (10_000, 2_000, 3_000)
    assert Counter(label for _, label in tickets.first).keys() == {"a", "b", "c"}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "needs text and label"),
        (b"message,label\nhello,a\n", "needs text and label"),
        (b"text,label,split\nhello,a,test\n", "split is 'test'"),
        (b"text,label\nhello,a\n", "more samples"),
        (b"text,label\n\xff,a\n", "mine.csv"),
    ],
)
def test_a_file_that_will_not_do_is_refused_with_the_reason(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "mine.csv"
    path.write_bytes(content)
    with pytest.raises(Unreadable, match=said):
        read_tickets(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match="nowhere.csv"):
        read_tickets(tmp_path / "nowhere.csv")
