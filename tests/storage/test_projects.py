import base64
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from sqlalchemy import select

from tests.storage.making import Stores, file_sample, only_sqlite, sample
from tsugiki.domain import Label, Policy
from tsugiki.errors import Conflict, NotFound
from tsugiki.storage.features import Features
from tsugiki.storage.idempotency import Idempotency
from tsugiki.storage.projects import Projects
from tsugiki.storage.references import erased_owners
from tsugiki.storage.tables import ProjectRow


def test_a_project_is_found_by_id_and_by_name(stores: Stores) -> None:
    tenant = stores.tenants.create("acme")
    made = stores.projects.create(
        tenant.id,
        "support",
        "text",
        "single_label",
        "tiny",
        [Label("billing", "about money"), Label("other")],
        Policy(abstain_precision=0.95, capture={"rate": 0.1}),
    )
    assert stores.projects.get(tenant.id, made.id) == stores.projects.get(tenant.id, "support") == made


def test_a_name_is_the_tenants_own(stores: Stores) -> None:
    mine, theirs = stores.project(tenant="acme"), stores.project(tenant="other")
    assert stores.projects.get(mine.tenant_id, "support") == mine
    assert stores.projects.list(theirs.tenant_id).data == (theirs,)
    with pytest.raises(Conflict) as refused:
        stores.project(tenant="acme")
    assert refused.value.reason == "project_exists"


def test_a_foreign_project_is_told_like_an_unknown_one(stores: Stores) -> None:
    mine, theirs = stores.project(tenant="acme"), stores.project(tenant="other", name="secret")
    told: list[str] = []
    for ref in (theirs.id, "secret", "unknown"):
        with pytest.raises(NotFound) as refused:
            stores.projects.get(mine.tenant_id, ref)
        told.append(str(refused.value).replace(ref, "…") + refused.value.fix)
    assert len(set(told)) == 1


def test_an_update_changes_what_is_given_only(stores: Stores) -> None:
    project = stores.project()
    renamed = stores.projects.update(project.id, name="help", labels=[Label("a")])
    assert (renamed.name, renamed.labels, renamed.policy) == ("help", (Label("a"),), project.policy)
    manual = stores.projects.update(project.id, policy=lambda policy: replace(policy, promote="manual"))
    assert (manual.name, manual.policy.promote) == ("help", "manual")
    assert stores.projects.get(project.tenant_id, "help") == manual


def test_of_policies_changed_at_once_none_is_lost(stores: Stores) -> None:
    project = stores.project()

    def count(turn: int) -> None:
        stores.projects.update(
            project.id, policy=lambda policy: replace(policy, capture={"n": policy.capture.get("n", 0) + 1})
        )

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(count, range(40)))
    assert stores.projects.get(project.tenant_id, project.id).policy.capture == {"n": 40}


def test_a_rename_to_a_taken_name_is_refused(stores: Stores) -> None:
    stores.project("one")
    with pytest.raises(Conflict):
        stores.projects.update(stores.project("two").id, name="one")


def test_a_backbone_is_settled_once_and_changed_only_while_nothing_is_made_on_it(stores: Stores) -> None:
    named = stores.project("named")
    assert stores.projects.settle(named.id, "other").backbone == "tiny"
    project = stores.projects.update(named.id, backbone="tiny", backbone_open=True)
    assert project.backbone_open
    assert [stores.projects.settle(project.id, name).backbone for name in ("first", "second")] == ["first", "first"]
    job = stores.adaptations.create(project.id, {})
    with pytest.raises(Conflict) as refused:
        stores.projects.update(project.id, backbone="third")
    assert refused.value.reason == "adaptation_running"
    stores.adaptations.cancel(project.tenant_id, job.id)
    assert stores.projects.update(project.id, backbone="third").backbone == "third"


def test_an_erased_project_leaves_no_byte_on_disk(stores: Stores) -> None:
    canary = "kNw7-canary-of-an-erased-project"
    kept = stores.project("kept")
    stores.samples.add(kept.id, [sample("kept text", "a")])
    version = stores.publish(kept)
    project = stores.project("erased")
    stored = stores.samples.add(project.id, [sample(f"{canary} {row}", canary) for row in range(300)])
    marked = np.frombuffer(canary.encode().ljust(32, b"."), np.float32).reshape(1, -1).repeat(300, axis=0)
    Features(stores.database).save(project.id, "fsp_1", [row.id or "" for row in stored], marked)
    stores.publish(project)
    stores.blobs.put(project.id, canary.encode())
    stores.adaptations.create(project.id, {"note": canary})
    idempotency = Idempotency(stores.database)
    idempotency.begin(project.tenant_id, "key", "print")
    idempotency.finish(project.tenant_id, "key", 200, "text/plain", canary.encode(), project.id)
    assert _found(stores, canary)  # the scan sees what is there

    assert stores.projects.delete(project)

    assert _found(stores, canary) == []
    assert _found(stores, project.id) == []
    with pytest.raises(NotFound):
        stores.projects.get(project.tenant_id, project.id)
    assert stores.samples.counts(kept.id) == {"a": 1}
    assert stores.registry.graft(version).method == "head"


def test_an_erased_project_s_pictures_are_erased_and_another_s_same_one_stays(stores: Stores) -> None:
    kept, erased = stores.project("kept", modality="image"), stores.project("erased", modality="image")
    canary = "kNw7-canary-of-an-erased-picture"
    stores.samples.add(kept.id, [file_sample(b"the same", "x")])
    stores.samples.add(erased.id, [file_sample(b"the same", "x"), file_sample(canary.encode(), "y")])
    assert len(_found(stores, canary)) == 1  # the scan sees what is there

    assert stores.projects.delete(erased)

    assert _found(stores, canary) == []
    assert stores.blobs.owners() == {kept.id}
    assert stores.samples.contents(kept, stores.samples.labelled(kept.id)) == [b"the same"]


def test_deleting_again_is_harmless(stores: Stores) -> None:
    project = stores.project()
    stores.projects.delete(project)
    assert stores.projects.delete(project)


def test_once_the_rows_are_gone_a_delete_raises_nothing_and_says_what_is_left(stores: Stores) -> None:
    project = stores.project()
    stores.publish(project)
    (stores.home / "blobs").rename(stores.home / "kept")
    (stores.home / "blobs").symlink_to(stores.home / "blobs")  # a loop: whatever is done with it fails
    assert not stores.projects.delete(project)
    with pytest.raises(NotFound):
        stores.projects.get(project.tenant_id, project.id)
    (stores.home / "blobs").unlink()
    (stores.home / "kept").rename(stores.home / "blobs")
    assert erased_owners(stores.database, stores.blobs.owners()) == {project.id}
    assert stores.projects.delete(project)
    assert _found(stores, project.id) == []


@only_sqlite
def test_a_delete_that_a_reader_holds_up_says_so(stores: Stores) -> None:
    project = stores.project()
    impatient = stores.again(0.05)
    with stores.database.read() as session:
        session.execute(select(ProjectRow.id)).all()
        assert not Projects(impatient, stores.blobs).delete(project)
    impatient.close()
    assert stores.database.empty_log()
    assert _found(stores, project.id) == []


def test_only_folders_of_erased_projects_are_told_as_such(stores: Stores) -> None:
    project = stores.project()
    assert erased_owners(stores.database, {project.id, "proj_gone", "somebody_elses"}) == {"proj_gone"}


def _found(stores: Stores, canary: str) -> list[str]:
    forms = (canary.encode(), canary.encode("utf-16-le"), base64.b64encode(canary.encode()))
    files = [path for path in stores.home.rglob("*") if path.is_file()]
    return [path.name for path in files if any(form in path.read_bytes() for form in forms)] + [
        path.name for path in stores.home.rglob(f"*{canary}*")
    ]
