"""/admin/v1 and /v1/me: tenants, keys, quotas; an operator's only."""

from __future__ import annotations

import uuid

import pytest

from tests.service.asking import Object, Tenant, client, good, listed, refused


def test_a_tenant_sees_itself(tenant: Tenant) -> None:
    me = good(tenant.http.get("/v1/me"))
    assert (me["tenant"]["id"], me["tenant"]["operator"]) == (tenant.id, False)
    assert me["scopes"] == ["admin"] and me["quotas"] == {}
    assert {name: me["usage"][name] for name in ("projects", "samples", "versions")} == {
        "projects": 0,
        "samples": 0,
        "versions": 0,
    }
    assert tenant.key.startswith(me["key"]["prefix"]) and len(me["key"]["prefix"]) < len(tenant.key) / 2


def test_tenants_are_made_once_and_listed(tenant: Tenant) -> None:
    name = f"t{uuid.uuid4().hex[:12]}"
    made = good(tenant.operator.post("/admin/v1/tenants", json={"name": name}))
    assert made["id"].startswith("ten_") and made["quota"] == {} and made["operator"] is False
    refused(tenant.operator.post("/admin/v1/tenants", json={"name": name}), 409, "tenant_exists")
    assert made in listed(tenant.operator, "/admin/v1/tenants")


def test_a_secret_is_shown_once(tenant: Tenant) -> None:
    made = tenant.issue(["predict", "annotate"], expires_in_seconds=3_600)
    secret = made.pop("secret")
    assert made["id"].startswith("key_") and made["scopes"] == ["predict", "annotate"]
    assert made["expires_at"] > made["created_at"] and made["revoked_at"] is None
    keys = tenant.operator.get(f"/admin/v1/tenants/{tenant.id}/keys")
    assert made in good(keys)["data"] and secret not in keys.text
    assert listed(tenant.operator, f"/admin/v1/tenants/{tenant.id}/keys") == good(keys)["data"]


def test_a_revoked_key_stops_at_once(tenant: Tenant) -> None:
    made = tenant.issue(["predict"])
    path = f"/admin/v1/tenants/{tenant.id}/keys/{made['id']}"
    with client(tenant.url, made["secret"]) as http:
        good(http.get("/v1/me"))
        assert good(tenant.operator.delete(path))["revoked_at"]
        refused(http.get("/v1/me"), 401, "unauthenticated")
    assert good(tenant.operator.delete(path))["revoked_at"]


def test_a_quota_is_replaced_whole_and_bites(stranger: Tenant) -> None:
    path = f"/admin/v1/tenants/{stranger.id}/quota"
    quota = {"requests_per_second": 0.5, "projects": 2}
    assert good(stranger.operator.put(path, json=quota))["quota"] == quota
    replies = [stranger.http.get("/v1/me") for _ in range(4)]
    assert replies[0].status_code == 200
    # Half a request a second and a burst of one: of four in a row the last is one too many.
    refused(replies[-1], 429, "overloaded")
    assert int(replies[-1].headers["retry-after"]) >= 1
    assert good(stranger.operator.put(path, json={}))["quota"] == {}
    good(stranger.http.get("/v1/me"))


def test_a_quota_below_what_is_there_refuses_more_and_nothing_else(stranger: Tenant) -> None:
    for name in ("first", "second"):
        stranger.adapt(name)
    path = f"/admin/v1/tenants/{stranger.id}/quota"
    good(stranger.operator.put(path, json={"projects": 1, "samples": 1}))
    refused(stranger.http.post("/v1/projects", json={"name": "third"}), 413, "quota_exceeded")
    more = {"samples": [{"input": "one more", "label": "billing"}]}
    refused(stranger.http.post("/v1/projects/first/samples", json=more), 413, "quota_exceeded")
    good(stranger.http.post("/v1/projects/first/adaptations", json={"wait_seconds": 60}))
    good(stranger.operator.put(path, json={"projects": 1}))
    good(stranger.http.post("/v1/projects/first/samples", json=more))
    good(stranger.operator.put(path, json={}))


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/admin/v1/tenants", None),
        ("POST", "/admin/v1/tenants", {"name": "x"}),
        ("GET", "/admin/v1/tenants/{t}/keys", None),
        ("POST", "/admin/v1/tenants/{t}/keys", {"scopes": ["admin"]}),
        ("PUT", "/admin/v1/tenants/{t}/quota", {}),
    ],
)
def test_a_tenants_own_admin_is_no_operator(tenant: Tenant, method: str, path: str, body: Object | None) -> None:
    refused(tenant.http.request(method, path.format(t=tenant.id), json=body), 403, "forbidden")


def test_unknown_tenants_and_keys_are_not_found(tenant: Tenant) -> None:
    unknown = "/admin/v1/tenants/ten_0"
    refused(tenant.operator.get(f"{unknown}/keys"), 404)
    refused(tenant.operator.post(f"{unknown}/keys", json={}), 404)
    refused(tenant.operator.put(f"{unknown}/quota", json={}), 404)
    refused(tenant.operator.delete(f"/admin/v1/tenants/{tenant.id}/keys/key_0"), 404)


def test_a_key_needs_known_scopes(tenant: Tenant) -> None:
    keys = f"/admin/v1/tenants/{tenant.id}/keys"
    bodies: tuple[Object, ...] = ({"scopes": []}, {"scopes": ["root"]}, {"expires_in_seconds": 0}, {"name": ""})
    for body in bodies:
        refused(tenant.operator.post(keys, json=body), 422)
