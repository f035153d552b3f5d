"""The one check of every hostile request: refused as documented, nothing kept of it, and the next good one is fine."""

from __future__ import annotations

from collections.abc import Callable

import httpx

from tests.service.asking import Object, Tenant, good, refused

Send = Callable[[httpx.Client], httpx.Response]


def harmless(tenant: Tenant, send: Send, status: int = 422, code: str | None = None) -> Object:
    """The problem that the request was refused with. `tenant` has a project `support` with a version."""
    before = tenant.usage()
    problem = refused(send(tenant.http), status, code)
    assert tenant.usage() == before, "a refused request left something behind"
    answered = good(tenant.http.post("/predict", json={"project": "support", "inputs": ["refund my money"]}))
    assert answered["data"][0]["label"] == "billing", "after a refused request the next good one is not answered"
    return problem
