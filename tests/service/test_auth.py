"""The doorkeeper by itself, on a clock of the test's own."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from service.auth import ALONE_S, AWAY_S, REMEMBERED_S, TRUSTED_S, Doorkeeper, require, secret_of
from tsugiki.errors import Forbidden, Overloaded, Unauthenticated
from tsugiki.storage.clock import utc_now
from tsugiki.storage.database import Database
from tsugiki.storage.tenants import Principal, Tenants


@dataclass
class Clock:
    now: float = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def door(tenants: Tenants, clock: Clock) -> Doorkeeper:
    return Doorkeeper(tenants, clock=clock)


@pytest.fixture
def one_of_two(tenants: Tenants, clock: Clock) -> Doorkeeper:
    return Doorkeeper(tenants, lambda: 2, clock, alone=False)


@pytest.fixture
def secret(tenants: Tenants) -> str:
    return tenants.issue_key(tenants.create("acme").id, "k", ["predict"]).secret


def test_a_key_is_remembered_for_a_moment_only(one_of_two: Doorkeeper, clock: Clock, secret: str) -> None:
    assert one_of_two.remembered(secret) is None
    principal = one_of_two.identify(secret)
    assert one_of_two.remembered(secret) == principal
    clock.now += REMEMBERED_S
    assert one_of_two.remembered(secret) is None


def test_a_revoked_key_lives_no_longer_than_the_memory(
    one_of_two: Doorkeeper, clock: Clock, tenants: Tenants, secret: str
) -> None:
    principal = one_of_two.identify(secret)
    tenants.revoke(principal.tenant.id, principal.key.id)
    clock.now += REMEMBERED_S
    assert one_of_two.remembered(secret) is None
    with pytest.raises(Unauthenticated):
        one_of_two.identify(secret)
    assert REMEMBERED_S < 5  # what the interface promises for every process


def test_a_process_alone_remembers_longer_but_no_key_that_ends(tenants: Tenants, clock: Clock, secret: str) -> None:
    door = Doorkeeper(tenants, clock=clock)
    ends = tenants.issue_key(tenants.create("brief").id, "k", ["predict"], utc_now() + timedelta(hours=1)).secret
    for one in (secret, ends):
        door.identify(one)
    clock.now += REMEMBERED_S
    assert door.remembered(secret) is not None
    assert door.remembered(ends) is None
    clock.now += ALONE_S
    assert door.remembered(secret) is None


class Overtaken(Tenants):
    """A key is revoked, and everybody told, between its reading and its being remembered."""

    door: Doorkeeper

    def authenticate(self, secret: str) -> Principal | None:
        found = super().authenticate(secret)
        assert found is not None
        self.revoke(found.tenant.id, found.key.id)
        self.door.forget()
        return found


def test_a_key_revoked_while_it_is_read_is_not_remembered(tmp_path: Path, clock: Clock) -> None:
    database = Database(tmp_path)
    database.migrate()
    tenants = Overtaken(database)
    tenants.door = Doorkeeper(tenants, clock=clock)
    secret = tenants.issue_key(tenants.create("acme").id, "k", ["predict"]).secret
    tenants.door.identify(secret)
    assert tenants.door.remembered(secret) is None
    database.close()


def test_a_change_is_seen_at_once_in_this_process(door: Doorkeeper, secret: str) -> None:
    door.identify(secret)
    door.forget()
    assert door.remembered(secret) is None


def test_unknown_expired_and_revoked_keys_are_told_the_same(door: Doorkeeper, tenants: Tenants, secret: str) -> None:
    principal = door.identify(secret)
    past = principal.key.created_at - timedelta(seconds=1)
    expired = tenants.issue_key(principal.tenant.id, "old", ["predict"], past).secret
    tenants.revoke(principal.tenant.id, principal.key.id)
    told: set[str] = set()
    for bad in ("tsk_unknown", expired, secret):
        with pytest.raises(Unauthenticated) as refusal:
            door.identify(bad)
        told.add(refusal.value.detail)
    assert len(told) == 1


def test_a_rate_allows_a_burst_then_its_pace(door: Doorkeeper, clock: Clock, tenants: Tenants, secret: str) -> None:
    tenants.set_quota(door.identify(secret).tenant.id, {"requests_per_second": 2})
    principal = door.identify(secret)
    assert [_admitted(door, principal) for _ in range(6)] == [True] * 4 + [False] * 2
    clock.now += 0.5
    assert [_admitted(door, principal) for _ in range(2)] == [True, False]
    clock.now += 3_600
    assert [_admitted(door, principal) for _ in range(6)] == [True] * 4 + [False] * 2


def test_workers_share_a_tenants_rate(tenants: Tenants, clock: Clock, secret: str) -> None:
    doors = [Doorkeeper(tenants, lambda: 2, clock) for _ in range(2)]
    tenants.set_quota(doors[0].identify(secret).tenant.id, {"requests_per_second": 2})
    principal = doors[0].identify(secret)
    assert [[_admitted(door, principal) for _ in range(3)] for door in doors] == [[True, True, False]] * 2
    clock.now += 1
    assert [[_admitted(door, principal) for _ in range(2)] for door in doors] == [[True, False]] * 2


def test_one_tenants_rate_is_not_anothers(door: Doorkeeper, tenants: Tenants, secret: str) -> None:
    tenants.set_quota(door.identify(secret).tenant.id, {"requests_per_second": 0.5})
    busy = door.identify(secret)
    assert [_admitted(door, busy) for _ in range(2)] == [True, False]
    quiet = door.identify(tenants.issue_key(tenants.create("quiet").id, "k", ["predict"]).secret)
    assert all(_admitted(door, quiet) for _ in range(100))


def test_admin_implies_the_other_scopes_and_no_other_does(tenants: Tenants) -> None:
    tenant = tenants.create("acme")

    def owner(*scopes: str) -> Principal:
        issued = tenants.issue_key(tenant.id, "k", scopes)  # pyright: ignore[reportArgumentType]  # literals below
        return Principal(tenant, issued.key)

    for scope in ("predict", "annotate", "adapt", "admin"):
        require(owner("admin"), scope)
        require(owner(scope), scope)
        for other in {"predict", "annotate", "adapt"} - {scope}:
            with pytest.raises(Forbidden, match=scope):
                require(owner(other), scope)


@pytest.mark.parametrize("header", [None, "", "Bearer", "Basic !!", "Digest x", "tsk_abc"])
def test_a_header_without_a_key_is_refused(header: str | None) -> None:
    with pytest.raises(Unauthenticated, match="no API key"):
        secret_of(header, basic=True)


def test_a_browsers_credentials_are_taken_only_where_they_cannot_do_harm() -> None:
    header = "Basic " + b64encode(b"anybody:tsk_abc").decode()
    assert secret_of(header, basic=True) == "tsk_abc"
    with pytest.raises(Unauthenticated, match="no API key"):
        secret_of(header, basic=False)


def _admitted(door: Doorkeeper, principal: Principal) -> bool:
    try:
        door.admit(principal)
    except Overloaded as refusal:
        assert refusal.retry_after_s >= 1
        return False
    return True


def test_while_nobody_can_be_asked_a_key_is_taken_that_was_good_lately(
    one_of_two: Doorkeeper, clock: Clock, tenants: Tenants, secret: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    principal = one_of_two.identify(secret)
    expires_at = utc_now() + timedelta(hours=1)
    ends = tenants.issue_key(principal.tenant.id, "k", ["predict"], expires_at).secret
    one_of_two.identify(ends)
    clock.now += REMEMBERED_S
    assert one_of_two.remembered(secret) is None, "it is asked about as long as somebody answers"
    assert one_of_two.away(secret) == one_of_two.remembered(secret, predicting=True) == principal
    assert one_of_two.remembered(secret) is None, "for all but predictions it is asked about still"
    assert one_of_two.away("tsk_unknown") is None
    clock.now += AWAY_S
    assert one_of_two.remembered(secret, predicting=True) is None, "by then it is asked about again"
    assert one_of_two.trusts(ends)
    monkeypatch.setattr("service.auth.utc_now", lambda: expires_at)
    assert not one_of_two.trusts(ends)
    clock.now += TRUSTED_S
    assert one_of_two.away(secret) is None
    one_of_two.identify(secret)
    tenants.revoke(principal.tenant.id, principal.key.id)
    with pytest.raises(Unauthenticated):
        one_of_two.identify(secret)
    assert one_of_two.away(secret) is None, "whoever was told that it is revoked trusts it no more"
