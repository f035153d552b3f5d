"""Who owns projects, and by which key."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from .words import Json, Scope


@dataclass(frozen=True, slots=True)
class Tenant:
    """Who owns projects. `operator` may manage other tenants; `quota` holds only the limits that were set."""

    id: str
    name: str
    operator: bool
    quota: Json
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Key:
    """An API key without its secret: `prefix` is the part that may be shown."""

    id: str
    tenant_id: str
    name: str
    prefix: str
    scopes: tuple[Scope, ...]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
