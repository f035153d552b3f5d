from datetime import timedelta

import pytest

from tests.storage.making import Stores, only_sqlite, sample
from tsugiki.errors import Conflict, Invalid, NotFound
from tsugiki.storage import FILE_NAME
from tsugiki.storage.exports import Exports


def test_a_tenant_is_found_again(stores: Stores) -> None:
    made = stores.tenants.create("acme", operator=True)
    assert stores.tenants.get(made.id) == made
    assert made.operator
    assert made.created_at == stores.clock()


def test_a_name_is_taken_once(stores: Stores) -> None:
    stores.tenants.create("acme")
    with pytest.raises(Conflict) as refused:
        stores.tenants.create("acme")
    assert refused.value.reason == "tenant_exists"


def test_lists_come_in_pages_in_order_of_creation(stores: Stores) -> None:
    made = [stores.tenants.create(f"tenant {number}") for number in range(5)]
    first = stores.tenants.list(limit=3)
    rest = stores.tenants.list(after=first.data[-1].id, limit=3)
    assert (first.has_more, rest.has_more) == (True, False)
    assert [*first.data, *rest.data] == made


@pytest.mark.parametrize("limit", [0, -1, 101])
def test_a_page_has_1_to_100_rows(stores: Stores, limit: int) -> None:
    with pytest.raises(Invalid):
        stores.tenants.list(limit=limit)


def test_a_quota_is_replaced_as_a_whole(stores: Stores) -> None:
    tenant = stores.tenants.create("acme")
    stores.tenants.set_quota(tenant.id, {"projects": 3})
    stores.tenants.set_quota(tenant.id, {"samples": 10})
    assert stores.tenants.get(tenant.id).quota == {"samples": 10}


def test_an_unknown_tenant_is_not_found(stores: Stores) -> None:
    with pytest.raises(NotFound):
        stores.tenants.get("ten_none")
    with pytest.raises(NotFound):
        stores.tenants.issue_key("ten_none", "key", ["admin"])


def test_a_key_opens_its_tenant_only(stores: Stores) -> None:
    acme, other = stores.tenants.create("acme"), stores.tenants.create("other")
    issued = stores.tenants.issue_key(acme.id, "ci", ["predict", "adapt"])
    stores.tenants.issue_key(other.id, "ci", ["admin"])
    principal = stores.tenants.authenticate(issued.secret)
    assert principal is not None
    assert (principal.tenant, principal.key) == (acme, issued.key)
    assert issued.key.scopes == ("predict", "adapt")


@pytest.mark.parametrize("secret", ["", "tsk_", "tsk_unknown", "\udce9 not text", "x" * 10_000])
def test_an_unknown_secret_is_nobody(stores: Stores, secret: str) -> None:
    stores.tenants.issue_key(stores.tenants.create("acme").id, "ci", ["admin"])
    assert stores.tenants.authenticate(secret) is None


def test_a_key_ends_when_it_expires(stores: Stores) -> None:
    tenant = stores.tenants.create("acme")
    issued = stores.tenants.issue_key(tenant.id, "ci", ["admin"], expires_at=stores.clock() + timedelta(hours=1))
    assert stores.tenants.authenticate(issued.secret) is not None
    stores.clock.advance(timedelta(hours=1))
    assert stores.tenants.authenticate(issued.secret) is None


def test_a_key_ends_when_it_is_revoked(stores: Stores) -> None:
    tenant = stores.tenants.create("acme")
    issued = stores.tenants.issue_key(tenant.id, "ci", ["admin"])
    revoked = stores.tenants.revoke(tenant.id, issued.key.id)
    stores.clock.advance(timedelta(hours=1))
    assert stores.tenants.revoke(tenant.id, issued.key.id) == revoked
    assert stores.tenants.authenticate(issued.secret) is None
    assert stores.tenants.keys(tenant.id).data == (revoked,)


def test_another_tenants_key_cannot_be_revoked(stores: Stores) -> None:
    acme, other = stores.tenants.create("acme"), stores.tenants.create("other")
    issued = stores.tenants.issue_key(acme.id, "ci", ["admin"])
    with pytest.raises(NotFound):
        stores.tenants.revoke(other.id, issued.key.id)
    assert stores.tenants.authenticate(issued.secret) is not None


def test_a_secret_brought_along_is_taken_as_it_is_and_once(stores: Stores) -> None:
    tenant = stores.tenants.create("default", operator=True)
    issued = stores.tenants.issue_key(tenant.id, "bootstrap", ["admin"], secret="short-secret")
    assert issued.secret == "short-secret"
    assert len(issued.key.prefix) <= len("short-secret") // 3
    with pytest.raises(Conflict) as refused:
        stores.tenants.issue_key(tenant.id, "again", ["admin"], secret="short-secret")
    assert refused.value.reason == "key_exists"


@only_sqlite
def test_no_secret_is_on_disk(stores: Stores) -> None:
    secret = stores.tenants.issue_key(stores.tenants.create("acme").id, "ci", ["admin"]).secret
    for file in (FILE_NAME, FILE_NAME + "-wal"):
        assert secret.encode() not in (stores.home / file).read_bytes()


def test_usage_counts_what_is_the_tenants_own(stores: Stores) -> None:
    project = stores.project()
    stores.samples.add(project.id, [sample("a", "x"), sample("b", "y")])
    stores.publish(project)
    foreign = stores.project(tenant="other")
    stores.samples.add(foreign.id, [sample("a", "x")])
    stores.publish(foreign)
    kept = sum(path.stat().st_size for path in (stores.home / "blobs" / project.id).rglob("*") if path.is_file())
    expected = {"projects": 1, "samples": 2, "versions": 1, "bytes": kept}
    assert stores.tenants.usage(project.tenant_id) == expected
    exports = Exports(stores.database, stores.blobs)
    zipped = stores.blobs.put(project.id, b"zip")
    for _ in range(2):  # made anew, its file is the same
        exports.finish(exports.create(project.id, 1, "fp32").id, 3, zipped, {}, {})
    exports.create(project.id, 1, "int8")
    assert stores.tenants.usage(project.tenant_id) == expected | {"bytes": kept + 3}
