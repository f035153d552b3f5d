import os
from collections.abc import Iterable
from dataclasses import replace
from hashlib import sha256

import pytest

from tests.storage.making import Stores, file_sample, sample
from tsugiki.domain import Modality, NewSample, Project
from tsugiki.errors import ArtifactCorrupt, Conflict, NotFound, StorageFull, TooLarge
from tsugiki.storage.blobs import Blobs
from tsugiki.storage.duplicates import Stored
from tsugiki.storage.local_files import LocalFiles
from tsugiki.storage.samples import Samples


class FullFiles(LocalFiles):
    def write(self, path: str, chunks: Iterable[bytes]) -> None:
        raise StorageFull("the disk has no room")


def codes(outcome: Stored) -> list[str]:
    return [issue.code for issue in outcome.issues]


def ids(outcomes: list[Stored]) -> list[str]:
    return [outcome.id or "" for outcome in outcomes]


def test_a_sample_is_stored_as_given(stores: Stores) -> None:
    project = stores.project()
    given = NewSample("héllo", "sha", "group", "greeting", "ext-1", "import", {"page": 3})
    (stored,) = stores.samples.add(project.id, [given])
    found = stores.samples.get(project.id, stored.id or "")
    assert (stored.status, stored.issues, found.status) == ("accepted", (), "accepted")
    assert (found.content, found.content_sha, found.group, found.label) == ("héllo", "sha", "group", "greeting")
    assert (found.external_id, found.source, found.metadata) == ("ext-1", "import", {"page": 3})
    assert found.created_at == stores.clock()


def test_the_same_again_is_a_duplicate_of_the_first(stores: Stores) -> None:
    project = stores.project()
    (first,) = stores.samples.add(project.id, [sample("a", "x")])
    again, bare = stores.samples.add(project.id, [sample("a", "x"), sample("a")])
    assert again.status == bare.status == "duplicate"
    assert again.id == bare.id == first.id
    assert codes(again) == codes(bare) == ["duplicate_exact"]
    assert again.issues[0].evidence == (first.id,)


def test_duplicates_are_seen_within_one_batch(stores: Stores) -> None:
    project = stores.project()
    first, again, other = stores.samples.add(project.id, [sample("a", "x"), sample("a", "x"), sample("a", "y")])
    assert (again.status, again.id) == ("duplicate", first.id)
    assert (other.status, codes(other)) == ("accepted", ["duplicate_conflicting_label"])
    assert stores.samples.counts(project.id) == {"x": 1, "y": 1}


@pytest.mark.parametrize("batches", [1, 2])
def test_a_label_reaches_the_sample_that_waited_for_one(stores: Stores, batches: int) -> None:
    project = stores.project()
    rows = [sample("a"), sample("a", "x")]
    if batches == 1:
        first, second = stores.samples.add(project.id, rows)
    else:
        (first,), (second,) = (stores.samples.add(project.id, [row]) for row in rows)
    assert (second.status, second.id) == ("accepted", first.id)
    assert stores.samples.counts(project.id) == {"x": 1}
    assert len(stores.samples.list(project.id).data) == 1


def test_a_contradiction_is_recorded_on_both_sides(stores: Stores) -> None:
    project = stores.project()
    (first,) = stores.samples.add(project.id, [sample("a", "x")])
    (second,) = stores.samples.add(project.id, [sample("a", "y")])
    assert second.status == "accepted"
    assert second.issues[0].evidence == (first.id,)
    for mine, other in ((first.id, second.id), (second.id, first.id)):
        (issue,) = stores.samples.get(project.id, mine or "").issues
        assert (issue.code, issue.evidence) == ("duplicate_conflicting_label", (other,))
    assert len(stores.samples.list(project.id, issue="duplicate_conflicting_label").data) == 2
    assert stores.samples.list(project.id, issue="duplicate_%").data == ()


def test_deleting_one_side_ends_the_contradiction(stores: Stores) -> None:
    project = stores.project()
    first, second = ids(stores.samples.add(project.id, [sample("a", "x"), sample("a", "y")]))
    stores.samples.delete(project.id, first)
    assert stores.samples.get(project.id, second).issues == ()


def test_relabelling_moves_contradictions(stores: Stores) -> None:
    project = stores.project()
    first, second, alone = ids(stores.samples.add(project.id, [sample("a", "x"), sample("a", "y"), sample("b", "x")]))
    with pytest.raises(Conflict) as refused:
        stores.samples.set_label(project.id, second, "x")
    assert (refused.value.reason, first in str(refused.value)) == ("duplicate_exact", True)
    assert stores.samples.set_label(project.id, second, "z").issues[0].evidence == (first,)
    assert stores.samples.set_label(project.id, alone, None).label is None
    with pytest.raises(Conflict):
        stores.samples.set_label(project.id, second, None)
    assert stores.samples.counts(project.id) == {"x": 1, "z": 1}


def test_a_preview_says_what_add_would_and_stores_nothing(stores: Stores) -> None:
    project = stores.project()
    stores.samples.add(project.id, [sample("a", "x"), sample("b")])
    rows = [sample("a", "x"), sample("a", "y"), sample("b", "z"), sample("c"), sample("c", "x")]
    preview = stores.samples.preview(project.id, rows)
    assert len(stores.samples.list(project.id).data) == 2
    stored = stores.samples.add(project.id, rows)
    assert [outcome.status for outcome in preview] == [outcome.status for outcome in stored]
    assert [codes(outcome) for outcome in preview] == [codes(outcome) for outcome in stored]
    assert [outcome.id is None for outcome in preview] == [False, True, False, True, True]


def test_lists_are_filtered_and_paged(stores: Stores) -> None:
    project = stores.project()
    rows = [sample(f"text {row}", "ab"[row % 2], source="even" if row % 2 == 0 else None) for row in range(10)]
    stored = ids(stores.samples.add(project.id, rows))
    page = stores.samples.list(project.id, label="a", limit=3)
    rest = stores.samples.list(project.id, label="a", limit=3, after=page.data[-1].id)
    assert [row.id for row in (*page.data, *rest.data)] == stored[::2]
    assert (page.has_more, rest.has_more) == (True, False)
    assert [row.id for row in stores.samples.list(project.id, source="even").data] == stored[::2]


def test_a_batch_beyond_the_limit_is_refused_whole(stores: Stores) -> None:
    project = stores.project()
    few = Samples(stores.database, stores.blobs, max_samples=3)
    few.add(project.id, [sample("a", "x"), sample("b", "x")])
    with pytest.raises(TooLarge):
        few.add(project.id, [sample("c", "x"), sample("d", "x")])
    with pytest.raises(TooLarge):
        few.preview(project.id, [sample("c", "x"), sample("d", "x")])
    few.add(project.id, [sample("a", "x"), sample("b", "x"), sample("c", "x")])
    assert few.add(project.id, [sample("a", "x")])[0].status == "duplicate"


def test_labelled_samples_come_in_order_of_creation(stores: Stores) -> None:
    project = stores.project()
    stored = ids(stores.samples.add(project.id, [sample("a", "x"), sample("b"), sample("c", "y")]))
    assert [(row.id, row.label, row.content) for row in stores.samples.labelled(project.id)] == [
        (stored[0], "x", "a"),
        (stored[2], "y", "c"),
    ]


def test_a_text_s_content_is_in_its_row(stores: Stores) -> None:
    project = stores.project()
    stores.samples.add(project.id, [sample("a", "x"), sample("b", "y")])
    assert stores.samples.contents(project, stores.samples.labelled(project.id)) == ["a", "b"]
    assert stores.blobs.owners() == frozenset()


@pytest.mark.parametrize("modality", ["image", "audio"])
def test_a_file_comes_back_as_it_was_sent(stores: Stores, modality: Modality) -> None:
    project = stores.project(modality=modality)
    first, second, unlabelled = os.urandom(1_000), os.urandom(10), b"unlabelled"
    rows = [file_sample(first, "x"), file_sample(unlabelled), file_sample(second, "y"), file_sample(first, "x")]
    stored = stores.samples.add(project.id, rows)
    assert [outcome.status for outcome in stored] == ["accepted", "accepted", "accepted", "duplicate"]
    labelled = stores.samples.labelled(project.id)
    assert stores.samples.contents(project, labelled) == [first, second]
    assert stores.samples.contents(project, labelled[::-1]) == [second, first]
    assert stores.samples.measures(project.id, ids(stored)[:1]) == [{"light": 0.5}]


def test_a_file_is_kept_before_a_row_names_it(stores: Stores) -> None:
    project = stores.project(modality="image")
    full = Samples(stores.database, Blobs(FullFiles(stores.home / "blobs")))
    with pytest.raises(StorageFull):
        full.add(project.id, [file_sample(b"one", "x")])
    assert stores.samples.list(project.id).data == (), "else it would name what is not there"
    few = Samples(stores.database, stores.blobs, max_samples=0)
    with pytest.raises(TooLarge):
        few.add(project.id, [file_sample(b"one", "x")])
    assert not stores.blobs.has(project.id, sha256(b"one").hexdigest()), "what has no room leaves no file to be swept"


class Erasing(LocalFiles):
    """Something else erases the project once the first of several files is there."""

    def __init__(self, stores: Stores, project: Project) -> None:
        super().__init__(stores.home / "blobs")
        self._stores, self._project = stores, project
        self._written = 0

    def write(self, path: str, chunks: Iterable[bytes]) -> None:
        super().write(path, chunks)
        self._written += 1
        if self._written == 1:
            assert self._stores.projects.delete(self._project)


def test_files_of_a_project_that_was_erased_meanwhile_do_not_stay(stores: Stores) -> None:
    project = stores.project(modality="image")
    late = Samples(stores.database, Blobs(Erasing(stores, project)))
    with pytest.raises(NotFound):
        late.add(project.id, [file_sample(data, "x") for data in (b"one", b"two", b"three")])
    assert stores.blobs.owners() == frozenset()


def test_a_preview_keeps_no_file(stores: Stores) -> None:
    project = stores.project(modality="image")
    assert stores.samples.preview(project.id, [file_sample(b"one", "x")])[0].status == "accepted"
    assert stores.blobs.owners() == frozenset()


def test_a_file_that_changed_is_not_trained_on(stores: Stores) -> None:
    project = stores.project(modality="image")
    stores.samples.add(project.id, [file_sample(b"one", "x")])
    (path,) = (path for path in (stores.home / "blobs").rglob("*") if path.is_file())
    path.write_bytes(b"two")
    with pytest.raises(ArtifactCorrupt):
        stores.samples.contents(project, stores.samples.labelled(project.id))


def test_facets_are_what_sets_samples_apart(stores: Stores) -> None:
    project = stores.project()
    metadata = {"shop": "east", "vip": True, "age": 4, "ratio": 0.5, "long": "x" * 101, "list": [1], "none": None}
    added = [
        replace(sample("one", "a"), metadata=metadata, source="import"),
        sample("two", "a"),
        replace(sample("three"), metadata={"shop": "west"}),
    ]
    first, *_ = [stored.id for stored in stores.samples.add(project.id, added)]
    assert stores.samples.facets(project.id) == {first: {"source": "import", "shop": "east", "vip": "True", "age": "4"}}


def test_samples_of_another_project_are_not_found(stores: Stores) -> None:
    mine, theirs = stores.project(tenant="acme"), stores.project(tenant="other")
    (stored,) = ids(stores.samples.add(theirs.id, [sample("a", "x")]))
    for call in (
        lambda: stores.samples.get(mine.id, stored),
        lambda: stores.samples.delete(mine.id, stored),
        lambda: stores.samples.set_label(mine.id, stored, "y"),
        lambda: stores.samples.add("proj_none", [sample("a", "x")]),
    ):
        with pytest.raises(NotFound):
            call()
    assert stores.samples.add(mine.id, [sample("a", "x")])[0].status == "accepted"
    assert stores.samples.get(theirs.id, stored).label == "x"


def test_ten_thousand_samples_in_one_call(stores: Stores) -> None:
    project = stores.project()
    stored = stores.samples.add(project.id, [sample(f"text {row}", "x") for row in range(10_000)])
    assert {outcome.status for outcome in stored} == {"accepted"}
    assert ids(stored) == sorted(ids(stored)) == [row.id for row in stores.samples.labelled(project.id)]
