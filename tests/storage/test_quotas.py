"""What a tenant may have is asked where it is stored: as many as fit, however many are at it."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.storage.making import Stores, file_sample, sample
from tsugiki.errors import TooLarge
from tsugiki.storage.projects import Projects
from tsugiki.storage.samples import Samples


def test_of_many_at_once_as_many_are_stored_as_fit(stores: Stores) -> None:
    projects = [stores.project(f"p{number}") for number in range(4)]
    tenant_id = projects[0].tenant_id
    stores.tenants.set_quota(tenant_id, {"samples": 10, "projects": 6})
    other = stores.again(30.0, shared=True)
    samples = (stores.samples, Samples(other, stores.blobs))

    def add(turn: int) -> str:
        try:
            samples[turn % 2].add(projects[turn % 4].id, [sample(f"text {turn}", "x")])
        except TooLarge as error:
            return error.reason
        return "stored"

    def make(turn: int) -> str:
        try:
            Projects(other, stores.blobs).create(tenant_id, f"new{turn}", "text", "single_label", "tiny")
        except TooLarge as error:
            return error.reason
        return "stored"

    with ThreadPoolExecutor(8) as pool:
        told = [sorted(pool.map(act, range(24))) for act in (add, make)]
    assert told == [["quota_exceeded"] * (24 - fit) + ["stored"] * fit for fit in (10, 2)]
    usage = stores.tenants.usage(tenant_id)
    assert (usage["samples"], usage["projects"]) == (10, 6)
    other.close()


def test_files_count_by_their_bytes_and_none_is_left_where_there_is_no_room(stores: Stores) -> None:
    project = stores.project(modality="image")
    stores.tenants.set_quota(project.tenant_id, {"bytes": 5})
    stores.samples.add(project.id, [file_sample(b"123", "x")])
    refused, fits = file_sample(b"456", "x"), file_sample(b"78", "x")
    for store in (stores.samples.add, stores.samples.preview):
        with pytest.raises(TooLarge) as told:
            store(project.id, [refused])
        assert told.value.reason == "quota_exceeded"
    assert not stores.blobs.has(project.id, refused.content)
    stores.samples.add(project.id, [fits])
    assert stores.tenants.usage(project.tenant_id)["bytes"] == 5
    stores.samples.add(project.id, [file_sample(b"123", "x")])  # what is there takes nothing
    with pytest.raises(TooLarge):
        stores.tenants.require_room(project.tenant_id)  # a version has some bytes
