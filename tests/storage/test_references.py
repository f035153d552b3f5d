"""A sweep keeps what rows name; each time with what would go if they were not asked."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.storage.making import Stores, file_sample, sample
from tsugiki.domain import Modality
from tsugiki.errors import ArtifactCorrupt
from tsugiki.storage.blobs import BlobName, Blobs
from tsugiki.storage.local_files import LocalFiles
from tsugiki.storage.references import referenced_blobs


def later(stores: Stores) -> Blobs:
    """The same files, when all that is there now is old enough to go."""
    return Blobs(LocalFiles(stores.home / "blobs"), lambda: datetime.now(UTC) + timedelta(hours=2))


@pytest.mark.parametrize("modality", ["image", "audio"])
def test_a_sweep_keeps_the_files_of_samples_and_takes_those_of_deleted_ones(stores: Stores, modality: Modality) -> None:
    project = stores.project(modality=modality)
    rows = [file_sample(b"labelled", "x"), file_sample(b"not yet"), file_sample(b"deleted", "x")]
    labelled, not_yet, deleted = rows
    stored = stores.samples.add(project.id, rows)
    assert later(stores).sweep(referenced_blobs(stores.database)) == 0
    stores.samples.delete(project.id, stored[2].id or "")
    named = referenced_blobs(stores.database)
    assert named == {BlobName(project.id, row.content) for row in (labelled, not_yet)}
    assert later(stores).sweep(named) == 1
    assert not stores.blobs.has(project.id, deleted.content)
    assert stores.blobs.get(project.id, not_yet.content) == b"not yet"
    kept = stores.samples.labelled(project.id)
    assert stores.samples.contents(project, kept) == [b"labelled"]
    # What it would do if samples were not asked.
    assert later(stores).sweep(named - {BlobName(project.id, row.content) for row in rows}) == 2
    with pytest.raises(ArtifactCorrupt):
        stores.samples.contents(project, kept)


def test_the_file_of_one_project_is_not_kept_for_another_s_sample(stores: Stores) -> None:
    one, other = stores.project("one", modality="image"), stores.project("other", modality="image")
    stores.samples.add(one.id, [file_sample(b"same", "x")])
    (stored,) = stores.samples.add(other.id, [file_sample(b"same", "x")])
    stores.samples.delete(other.id, stored.id or "")
    assert later(stores).sweep(referenced_blobs(stores.database)) == 1
    assert stores.samples.contents(one, stores.samples.labelled(one.id)) == [b"same"]


def test_a_text_names_no_file_whatever_it_says(stores: Stores) -> None:
    project = stores.project()
    sha = stores.blobs.put(project.id, b"left behind")
    stores.samples.add(project.id, [sample(sha, "x")])
    assert referenced_blobs(stores.database) == frozenset()
    assert later(stores).sweep(referenced_blobs(stores.database)) == 1
