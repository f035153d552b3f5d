"""All batches of up to four rows of two contents are tried: 1,554 of them, each cut at every place."""

from itertools import product

import pytest

from tests.storage.making import sample
from tsugiki.storage.duplicates import MOST_EVIDENCE, Settlement, Twin, settle

Row = tuple[str, str | None]
ROWS: list[Row] = list(product("ab", (None, "x", "y")))


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_a_batch_cut_in_two_settles_as_the_whole(size: int) -> None:
    for rows in product(ROWS, repeat=size):
        whole = World(rows)
        for cut in range(1, size):
            in_two = World(rows[:cut], rows[cut:])
            assert (in_two.twins, in_two.outcomes) == (whole.twins, whole.outcomes)


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_of_one_content_each_label_is_held_once_and_every_contradiction_named(size: int) -> None:
    for rows in product(ROWS, repeat=size):
        world = World(rows)
        for content in "ab":
            given = {label for held, label in rows if held == content}
            twins = world.twins.get(sample(content).content_sha, [])
            expected = given - {None} or given  # one without a label only as long as it is alone
            assert sorted(str(twin.label) for twin in twins) == sorted(map(str, expected))
            for twin in twins:
                others = tuple(sorted(other.id for other in twins if other is not twin))
                assert [issue.evidence for issue in twin.issues] == ([others] if others else [])


def test_of_many_labels_of_one_content_each_names_the_oldest_others() -> None:
    world = World(tuple(("a", f"label {number}") for number in range(40)), (("a", "one more"),))
    (twins,) = world.twins.values()
    ids = [twin.id for twin in twins]
    assert len(ids) == 41
    for place, twin in enumerate(twins):
        (issue,) = twin.issues
        assert issue.evidence == tuple(id for id in ids if id != ids[place])[:MOST_EVIDENCE]
    settled = settle(world.twins, [sample("a", "again")], world.new_id)
    assert settled.updates == {}, "who names ten others already has nothing new to say"


class World:
    """What a store would hold."""

    def __init__(self, *batches: tuple[Row, ...]) -> None:
        self.twins: dict[str, list[Twin]] = {}
        self.outcomes: list[tuple[str | None, str]] = []
        self.made = 0
        for rows in batches:
            self.add(rows)

    def add(self, rows: tuple[Row, ...]) -> None:
        settled = settle(self.twins, [sample(content, label) for content, label in rows], self.new_id)
        self.outcomes += [(outcome.id, outcome.status) for outcome in settled.outcomes]
        self.apply(settled)

    def new_id(self) -> str:
        self.made += 1
        return f"{self.made:03}"

    def apply(self, settled: Settlement) -> None:
        for twins in self.twins.values():
            twins[:] = [settled.updates.get(twin.id, twin) for twin in twins]
        for new, twin in settled.inserts.values():
            self.twins.setdefault(new.content_sha, []).append(twin)
