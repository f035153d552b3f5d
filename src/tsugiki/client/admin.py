"""Tenants and keys: for an admin key of the operator tenant."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from tsugiki.client.transport import Call, Json, Transport, segment

TENANTS = "/admin/v1/tenants"
Scope = Literal["predict", "annotate", "adapt", "admin"]


@dataclass(frozen=True, slots=True)
class Admin:
    transport: Transport

    def tenants(self) -> Iterator[Json]:
        return self.transport.pages(TENANTS)

    def create_tenant(self, name: str) -> Json:
        return self.transport.post(TENANTS, {"name": name})

    def set_quota(
        self,
        tenant: str,
        *,
        requests_per_second: float | None = None,
        projects: int | None = None,
        samples: int | None = None,
        bytes: int | None = None,
    ) -> Json:
        """Replaces the tenant's limits; one left out is no limit beyond the service's own.

        `bytes` are of files of samples, of versions and exports.
        """
        limits = {"projects": projects, "samples": samples, "bytes": bytes, "requests_per_second": requests_per_second}
        given = {name: limit for name, limit in limits.items() if limit is not None}
        return self.transport.send(Call("PUT", f"{TENANTS}/{segment(tenant)}/quota", body=given))

    def keys(self, tenant: str) -> Iterator[Json]:
        """The tenant's keys, without their secrets."""
        return self.transport.pages(_keys(tenant))

    def create_key(
        self, tenant: str, *, scopes: Sequence[Scope], name: str = "key", expires_in_s: int | None = None
    ) -> Json:
        """The new key; `secret` is shown this once."""
        body: Json = {"name": name, "scopes": list(scopes)}
        if expires_in_s is not None:
            body["expires_in_seconds"] = expires_in_s
        return self.transport.post(_keys(tenant), body)

    def revoke_key(self, tenant: str, key: str) -> None:
        self.transport.send(Call("DELETE", f"{_keys(tenant)}/{segment(key)}"))


def _keys(tenant: str) -> str:
    return f"{TENANTS}/{segment(tenant)}/keys"
