from __future__ import annotations

import pytest

from tests.storage.making import Stores, sample
from tsugiki.domain import Fix
from tsugiki.errors import Issue, StorageFull
from tsugiki.storage import fixes
from tsugiki.storage.fixes import Aside

SUSPECT = Issue("label_suspect", "/label", "Fits are sure of another label.", "Look at it.", ())


def made(stores: Stores, *texts: str) -> tuple[str, list[str]]:
    project = stores.project()
    return project.id, [row.id or "" for row in stores.samples.add(project.id, [sample(text, "x") for text in texts])]


def quarantine(stores: Stores, project: str, *samples: str) -> int:
    """How many of them, of label x, were set aside."""
    with stores.database.write() as session:
        return fixes.quarantine(session, project, Aside(dict.fromkeys(samples, SUSPECT), dict.fromkeys(samples, "x")))


def test_quarantine_sets_aside_until_somebody_relabels(stores: Stores) -> None:
    project, (one, two) = made(stores, "a", "b")
    assert quarantine(stores, project, one) == 1
    assert [row.id for row in stores.samples.labelled(project)] == [two]
    found = stores.samples.get(project, one)
    assert (found.status, found.issues) == ("quarantined", (SUSPECT,))
    assert quarantine(stores, project, one) == 0
    stores.samples.set_label(project, one, "y")
    found = stores.samples.get(project, one)
    assert (found.status, found.issues, found.label) == ("accepted", (), "y")


def test_quarantine_leaves_alone_what_changed_since_the_audit(stores: Stores) -> None:
    project, (gone, moved, kept) = made(stores, "a", "b", "c")
    stores.samples.delete(project, gone)
    stores.samples.set_label(project, moved, "y")
    stores.samples.fix(project, [Fix(kept, "keep", codes=("label_suspect",))], "key")
    assert quarantine(stores, project, gone, moved, kept) == 0
    assert {row.id for row in stores.samples.labelled(project)} == {moved, kept}


def test_a_contradiction_survives_the_end_of_the_quarantine(stores: Stores) -> None:
    project, (one,) = made(stores, "a")
    (other,) = stores.samples.add(project, [sample("a", "y")])
    quarantine(stores, project, one)
    stores.samples.fix(project, [Fix(one, "keep")], "key")
    found = stores.samples.get(project, one)
    assert [(issue.code, issue.evidence) for issue in found.issues] == [("duplicate_conflicting_label", (other.id,))]


def test_keeping_adds_up_by_code_and_ends_with_the_label(stores: Stores) -> None:
    project, (one,) = made(stores, "a")
    outlier, suspect = Fix(one, "keep", codes=("outlier",)), Fix(one, "keep", codes=("label_suspect",))
    told = stores.samples.fix(project, [outlier, suspect, outlier], "key")
    assert [row.status for row in told] == ["applied", "applied", "unchanged"]
    assert stores.samples.kept(project) == {(one, "outlier"), (one, "label_suspect")}
    assert stores.samples.standings(project, [one])[one].kept == {"outlier", "label_suspect"}
    stores.samples.set_label(project, one, "y")
    assert stores.samples.kept(project) == frozenset()
    stores.samples.fix(project, [outlier], "key")
    assert stores.samples.kept(project) == {(one, "outlier")}


def test_a_review_goes_with_its_sample(stores: Stores) -> None:
    project, (one,) = made(stores, "a")
    stores.samples.fix(project, [Fix(one, "keep"), Fix(one, "drop")], "key")
    assert stores.samples.kept(project) == frozenset()
    assert stores.samples.standings(project, [one]) == {}


def test_dropping_tells_those_with_the_same_input(stores: Stores) -> None:
    project, (one,) = made(stores, "a")
    (other,) = stores.samples.add(project, [sample("a", "y")])
    assert stores.samples.get(project, one).issues
    assert stores.samples.fix(project, [Fix(other.id or "", "drop")], "key")[0].status == "applied"
    assert stores.samples.get(project, one).issues == ()


def test_a_foreign_sample_is_as_one_that_is_not_there(stores: Stores) -> None:
    project, (one,) = made(stores, "a")
    other = stores.project("other", "rival")
    dropped, kept = stores.samples.fix(other.id, [Fix(one, "drop"), Fix(one, "keep")], "key")
    assert dropped.status == "unchanged"
    assert kept.status == "rejected" and kept.error is not None and kept.error.reason == "not_found"
    assert stores.samples.get(project, one).status == "accepted"
    assert stores.samples.standings(other.id, [one]) == {}


def test_an_end_in_between_applies_none(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    project, (one, two) = made(stores, "a", "b")
    removed: list[str] = []
    remove = fixes.remove

    def fills_up(session: fixes.Session, row: fixes.SampleRow) -> None:
        if removed:
            raise StorageFull("no room")
        removed.append(row.id)
        remove(session, row)

    monkeypatch.setattr(fixes, "remove", fills_up)
    with pytest.raises(StorageFull):
        stores.samples.fix(project, [Fix(one, "drop"), Fix(two, "drop")], "key")
    assert removed == [one]
    assert {row.id for row in stores.samples.labelled(project)} == {one, two}
