"""Aliases: moved only from where they were expected, and back again."""

from __future__ import annotations

import uuid

import httpx
import pytest

from tests.service.asking import Tenant, good, listed, refused


@pytest.fixture
def moving(tenant: Tenant) -> str:
    """The path of a project with three versions, the third one live."""
    name = f"m{uuid.uuid4().hex}"
    tenant.adapt(name)
    for _ in range(2):
        wish = {"promote": "always", "wait_seconds": 60}
        good(tenant.http.post(f"/v1/projects/{name}/adaptations", json=wish))
    return f"/v1/projects/{name}"


def live(http: httpx.Client, path: str) -> int:
    """What the alias says, which must be what predictions say."""
    answered = good(http.post(f"{path}/predict", json={"inputs": ["pay"]}))["version"]
    (alias,) = [alias for alias in good(http.get(f"{path}/aliases"))["data"] if alias["name"] == "live"]
    assert alias["object"] == "alias" and alias["moved_at"].endswith("Z") and alias["version"] == answered
    return answered


def test_an_alias_moves_only_from_where_it_was_expected(http: httpx.Client, moving: str) -> None:
    alias = f"{moving}/aliases/live"
    found = refused(http.put(alias, json={"version": 1, "expected_version": 2}), 409, "alias_moved")
    assert "at version 3" in found["detail"]
    assert live(http, moving) == 3
    assert good(http.put(alias, json={"version": 1, "expected_version": 3}))["version"] == 1
    assert live(http, moving) == 1
    refused(http.put(alias, json={"version": 2, "expected_version": None}), 409, "alias_moved")
    good(http.put(alias, json={"version": 2}))
    assert live(http, moving) == 2
    refused(http.put(alias, json={"version": 99}), 404)


def test_rollbacks_in_a_row_go_further_back(http: httpx.Client, moving: str) -> None:
    for expected in (2, 1):
        assert good(http.post(f"{moving}/rollback", json={"alias": "live"}))["version"] == expected
        assert live(http, moving) == expected
    refused(http.post(f"{moving}/rollback"), 409, "nothing_to_roll_back")
    moves = listed(http, f"{moving}/aliases/live/history")
    assert moves == good(http.get(f"{moving}/aliases/live/history"))["data"]
    assert [(move["from_version"], move["to_version"]) for move in moves] == [(2, 1), (3, 2), (2, 3), (1, 2), (None, 1)]
    assert moves[0]["actor"].startswith("key_") and moves[-1]["actor"].startswith("adp_")
    assert all(move["reason"] and move["at"] for move in moves)


def test_an_alias_of_ones_own_serves_beside_live(http: httpx.Client, moving: str) -> None:
    refused(http.post(f"{moving}/predict?alias=canary", json={"inputs": ["pay"]}), 404, "not_found")
    refused(http.get(f"{moving}/aliases/canary/history"), 404)
    good(http.put(f"{moving}/aliases/canary", json={"version": 2, "expected_version": None}))
    answered = good(http.post(f"{moving}/predict?alias=canary", json={"inputs": ["pay"]}))
    assert (answered["version"], answered["alias"]) == (2, "canary")
    assert live(http, moving) == 3
    good(http.put(f"{moving}/aliases/other", json={"version": 1}))
    assert [alias["name"] for alias in listed(http, f"{moving}/aliases")] == ["canary", "live", "other"]
    refused(http.post(f"{moving}/rollback", json={"alias": "unknown"}), 404)
    refused(http.put(f"{moving}/aliases/No%20Name", json={"version": 1}), 422)
    for beyond in (0, 2**31):
        refused(http.put(f"{moving}/aliases/live", json={"version": beyond}), 422)
        refused(http.post(f"{moving}/predict?version={beyond}", json={"inputs": ["pay"]}), 422)
        refused(http.post("/predict", json={"project": "x", "version": beyond, "inputs": ["pay"]}), 422)
