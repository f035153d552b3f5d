from hypothesis import given
from hypothesis import strategies as st

from tests.storage.making import sample
from tsugiki.storage.duplicates import Settlement, Twin, settle

contents = st.sampled_from("abc")
labels = st.sampled_from([None, "x", "y", "z"])
batches = st.lists(st.lists(st.tuples(contents, labels), max_size=8), max_size=4)


@given(batches)
def test_a_batch_cut_in_pieces_settles_as_the_whole(pieces: list[list[tuple[str, str | None]]]) -> None:
    in_pieces, whole = World(), World()
    for piece in pieces:
        in_pieces.add(piece)
    whole.add([row for piece in pieces for row in piece])
    assert in_pieces.twins == whole.twins
    assert in_pieces.outcomes == whole.outcomes


@given(batches)
def test_of_one_content_each_label_is_held_once_and_every_contradiction_named(
    pieces: list[list[tuple[str, str | None]]],
) -> None:
    world = World()
    for piece in pieces:
        world.add(piece)
    for content in "abc":
        twins = world.twins.get(sample(content).content_sha, [])
        given_labels = {label for piece in pieces for held, label in piece if held == content}
        assert [twin.label for twin in twins].count(None) == (given_labels == {None})
        assert sorted(twin.label for twin in twins if twin.label) == sorted(label for label in given_labels if label)
        for twin in twins:
            others = tuple(sorted(other.id for other in twins if other is not twin))
            assert [issue.evidence for issue in twin.issues] == ([others] if others else [])


class World:
    """What a store would hold."""

    def __init__(self) -> None:
        self.twins: dict[str, list[Twin]] = {}
        self.outcomes: list[tuple[str | None, str]] = []
        self.made = 0

    def add(self, rows: list[tuple[str, str | None]]) -> None:
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
