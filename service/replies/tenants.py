"""Tenants and their keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from typing_extensions import TypedDict

from .lists import Object, moment

if TYPE_CHECKING:
    from tsugiki.domain import Key, Tenant


class TenantReply(TypedDict):
    object: Literal["tenant"]
    id: str
    name: str
    operator: bool
    quota: Object
    created_at: str


class KeyReply(TypedDict):
    object: Literal["key"]
    id: str
    name: str
    prefix: str
    scopes: list[str]
    created_at: str
    expires_at: str | None
    revoked_at: str | None


def tenant(item: Tenant) -> TenantReply:
    return {
        "object": "tenant",
        "id": item.id,
        "name": item.name,
        "operator": item.operator,
        "quota": item.quota,
        "created_at": moment(item.created_at),
    }


def key(item: Key) -> KeyReply:
    return {
        "object": "key",
        "id": item.id,
        "name": item.name,
        "prefix": item.prefix,
        "scopes": list(item.scopes),
        "created_at": moment(item.created_at),
        "expires_at": moment(item.expires_at),
        "revoked_at": moment(item.revoked_at),
    }
