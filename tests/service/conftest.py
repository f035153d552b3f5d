"""Each module has a tenant of its own on the shared service; nothing that one does is seen by another."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from service.launch import Running
from tests.service.asking import WEATHER, Tenant, new_tenant
from tsugiki.storage.database import Database
from tsugiki.storage.tenants import Tenants


@pytest.fixture(scope="module")
def tenant(server: Running) -> Iterator[Tenant]:
    with new_tenant(server) as made:
        yield made


@pytest.fixture(scope="module")
def stranger(server: Running) -> Iterator[Tenant]:
    """Another tenant, which must see nothing of `tenant`."""
    with new_tenant(server) as made:
        yield made


@pytest.fixture(scope="module")
def http(tenant: Tenant) -> httpx.Client:
    return tenant.http


@pytest.fixture(scope="module")
def support(tenant: Tenant) -> str:
    """The path of a project with two versions that no test changes: the first knows two labels, the live one three."""
    tenant.adapt("support")
    tenant.adapt("support", WEATHER)
    tenant.http.put("/v1/projects/support/aliases/live", json={"version": 2}).raise_for_status()
    return "/v1/projects/support"


@pytest.fixture
def tenants(tmp_path: Path) -> Iterator[Tenants]:
    """Of a store of their own, without a service."""
    database = Database(tmp_path)
    database.migrate()
    yield Tenants(database)
    database.close()
