"""The operator's routes: tenants, keys, quotas. Another tenant's admin key is not enough."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Depends

from service import replies
from service.auth import require_operator
from service.edge import Administering, After, Caller, Limit, Reply, StrictRoute, documented
from service.replies import KeyReply, ListReply, TenantReply
from service.schemas import KeyIn, QuotaIn, TenantIn

router = APIRouter(prefix="/admin/v1/tenants", route_class=StrictRoute, tags=["operator"])


def operating(by: Administering) -> Caller:
    """The caller, if it is the operator tenant's admin. Raises Forbidden."""
    require_operator(by.principal)
    return by


Operating = Annotated[Caller, Depends(operating)]


@router.post("", responses=documented(TenantReply, 409, 413, 415, 507))
def create(by: Operating, wish: TenantIn) -> Reply:
    return Reply(replies.tenant(by.core.tenants.create(wish.name, once=by.once)))


@router.get("", responses=documented(ListReply))
def list_tenants(by: Operating, after: After = None, limit: Limit = 100) -> Reply:
    return Reply(replies.page(by.core.tenants.list(after, limit), replies.tenant))


@router.post("/{t}/keys", responses=documented(KeyReply, 404, 409, 413, 415, 507))
def issue_key(by: Operating, t: str, wish: KeyIn) -> Reply:
    """Make a key. `secret` is in this reply and never again."""
    lifetime = wish.expires_in_seconds
    expires_at = None if lifetime is None else by.core.database.now() + timedelta(seconds=lifetime)
    issued = by.core.tenants.issue_key(t, wish.name, wish.scopes, expires_at, once=by.once)
    # no-store: neither a proxy nor the store of idempotent replies may keep the secret.
    return Reply({**replies.key(issued.key), "secret": issued.secret}, headers={"cache-control": "no-store"})


@router.get("/{t}/keys", responses=documented(ListReply, 404))
def list_keys(by: Operating, t: str, after: After = None, limit: Limit = 100) -> Reply:
    by.core.tenants.get(t)
    return Reply(replies.page(by.core.tenants.keys(t, after, limit), replies.key))


@router.delete("/{t}/keys/{k}", responses=documented(KeyReply, 404, 507))
def revoke_key(by: Operating, t: str, k: str) -> Reply:
    """Revoke a key: at once in this process, within 5 s in others."""
    revoked = by.core.tenants.revoke(t, k)
    by.core.door.forget()
    return Reply(replies.key(revoked))


@router.put("/{t}/quota", responses=documented(TenantReply, 404, 413, 415, 507))
def set_quota(by: Operating, t: str, wish: QuotaIn) -> Reply:
    """Replace the tenant's limits; one left out is no limit."""
    tenant = by.core.tenants.set_quota(t, wish.model_dump(exclude_none=True))
    by.core.door.forget()
    return Reply(replies.tenant(tenant))
