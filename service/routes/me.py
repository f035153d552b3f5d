"""Who am I: tenant, scopes, quotas, usage."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from service import replies
from service.edge import Knowing, Reply, documented

router = APIRouter(prefix="/v1/me", tags=["me"])


@router.get("", responses=documented(dict[str, Any]))
def me(by: Knowing) -> Reply:
    """The key's tenant, what the key may do, and what the tenant uses."""
    tenant, key = by.principal.tenant, by.principal.key
    return Reply(
        {
            "object": "me",
            "tenant": replies.tenant(tenant),
            "key": replies.key(key),
            "scopes": list(key.scopes),
            "quotas": tenant.quota,
            "usage": by.core.tenants.usage(tenant.id),
        }
    )
