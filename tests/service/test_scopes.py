"""Every route × every scope: a route without a rule here fails."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx
import pytest

from service.routes import ROUTERS
from tests.service.asking import Object, Tenant, client, refused

# operator: the operator tenant's admin key; any: a key of any scope; open: nobody is asked
RULES = """
adapt    POST /adapt
predict  POST /predict
adapt    POST /bento/adapt
predict  POST /bento/predict
any      GET /schema.json
adapt    POST /v1/projects
any      GET /v1/projects
any      GET /v1/projects/{p}
adapt    PATCH /v1/projects/{p}
adapt    DELETE /v1/projects/{p}
annotate POST /v1/projects/{p}/samples
annotate GET /v1/projects/{p}/samples
annotate GET /v1/projects/{p}/samples/{s}
annotate GET /v1/projects/{p}/samples/{s}/content
annotate DELETE /v1/projects/{p}/samples/{s}
annotate PUT /v1/projects/{p}/samples/{s}/label
adapt    POST /v1/projects/{p}/adaptations
any      GET /v1/projects/{p}/adaptations
any      GET /v1/adaptations/{a}
adapt    POST /v1/adaptations/{a}/cancel
any      GET /v1/adaptations/{a}/events
predict  GET /v1/projects/{p}/versions
predict  GET /v1/projects/{p}/versions/{v}
predict  GET /v1/projects/{p}/versions/{v}/evaluation
predict  GET /v1/projects/{p}/versions/{v}/audit
predict  GET /v1/projects/{p}/versions/{v}/card
annotate POST /v1/projects/{p}/audit/fixes
predict  GET /v1/projects/{p}/aliases
adapt    PUT /v1/projects/{p}/aliases/{name}
predict  GET /v1/projects/{p}/aliases/{name}/history
adapt    POST /v1/projects/{p}/rollback
predict  POST /v1/projects/{p}/predict
adapt    POST /v1/projects/{p}/versions/{v}/exports
any      GET /v1/exports/{e}
predict  GET /v1/exports/{e}/content
any      GET /v1/backbones
predict  POST /v1/backbones/recommend
any      GET /v1/me
operator POST /admin/v1/tenants
operator GET /admin/v1/tenants
operator POST /admin/v1/tenants/{t}/keys
operator GET /admin/v1/tenants/{t}/keys
operator DELETE /admin/v1/tenants/{t}/keys/{k}
operator PUT /admin/v1/tenants/{t}/quota
operator GET /metrics
any      GET /
any      GET /docs
any      GET /docs/{name}
any      GET /openapi.json
open     GET /livez
open     GET /readyz
open     GET /healthz
"""
BENTO = {("POST", "/bento/adapt"), ("POST", "/bento/predict"), ("GET", "/schema.json")}
SCOPES = ("predict", "annotate", "adapt", "admin")
UNKNOWN = {
    "p": "nowhere",
    "s": "smp_0",
    "a": "adp_0",
    "v": "1",
    "name": "none",
    "e": "exp_0",
    "t": "ten_0",
    "k": "key_0",
}


def rules() -> dict[tuple[str, str], str]:
    lines = (line.split() for line in RULES.strip().splitlines())
    return {(method, path): rule for rule, method, path in lines}


@pytest.fixture(scope="module")
def holders(tenant: Tenant) -> Iterator[dict[str, httpx.Client]]:
    """A client for each scope alone, and the operator's."""
    found = {scope: client(tenant.url, tenant.issue([scope])["secret"]) for scope in SCOPES}
    yield found | {"operator": tenant.operator}
    for http in found.values():
        http.close()


def test_every_route_has_a_rule() -> None:
    served = {
        (method, str(getattr(route, "path", "")))
        for router in ROUTERS
        for route in router.routes
        for method in getattr(route, "methods", ())
    }
    assert served - {("HEAD", path) for _, path in served} == rules().keys() - BENTO - {("GET", "/openapi.json")}


@pytest.mark.parametrize(("route", "rule"), rules().items(), ids=[" ".join(route) for route in rules()])
def test_a_key_without_the_scope_is_refused(
    holders: dict[str, httpx.Client], tenant: Tenant, route: tuple[str, str], rule: str
) -> None:
    method, template = route
    path = re.sub(r"\{(\w+)\}", lambda match: UNKNOWN[match[1]], template)
    body: Object | None = {} if method in ("POST", "PUT", "PATCH") else None
    nobody = httpx.request(method, tenant.url + path, json=body)
    if rule == "open":
        assert nobody.status_code == 200
        return
    refused(nobody, 401, "unauthenticated")
    for scope, http in holders.items():
        reply = http.request(method, path, json=body)
        if rule in ("any", scope) or scope == "operator" or (scope == "admin" and rule != "operator"):
            assert reply.status_code not in (401, 403) and reply.status_code < 500, (scope, reply.text)
        else:
            refused(reply, 403, "forbidden")
