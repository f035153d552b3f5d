"""Tenants and their keys. A secret is shown once and kept as its digest."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import cast

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from tsugiki.domain import Json, Key, NewSample, Scope, Tenant
from tsugiki.errors import Conflict, NotFound
from tsugiki.storage.database import Database
from tsugiki.storage.idempotency import Once, already, note_done, shown_once
from tsugiki.storage.pages import Page, cut, one_more
from tsugiki.storage.quotas import require_room, usage
from tsugiki.storage.tables import KeyRow, TenantRow

SECRET_BYTES = 32  # 256 bits: guessing is hopeless, so a fast digest is enough
SHOWN = 12  # characters of a secret that may be shown: `tsk_` and 48 bits


@dataclass(frozen=True, slots=True)
class IssuedKey:
    """A key with its secret, which cannot be had again."""

    key: Key
    secret: str


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is calling, and with which key."""

    tenant: Tenant
    key: Key


class Tenants:
    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, name: str, operator: bool = False, once: Once | None = None) -> Tenant:
        """A new one, or the one that a former attempt of the same request made. Raises Conflict `tenant_exists`."""
        row = TenantRow(
            id=self._database.ids.new("ten"),
            name=name,
            operator=operator,
            quota={},
            created_at=self._database.now(),
        )
        with self._database.write() as session:
            if (made := already(session, once)) is not None and (found := session.get(TenantRow, made)) is not None:
                return _tenant(found)
            if session.scalar(select(TenantRow.id).where(TenantRow.name == name)):
                raise Conflict(f"There is a tenant named {name!r} already.", code="tenant_exists")
            session.add(row)
            note_done(session, once, row.id)
        return _tenant(row)

    def list(self, after: str | None = None, limit: int = 100) -> Page[Tenant]:
        query = select(TenantRow).order_by(TenantRow.id).limit(one_more(limit))
        with self._database.read() as session:
            return cut(session.scalars(query.where(TenantRow.id > (after or ""))).all(), limit, _tenant)

    def get(self, tenant_id: str) -> Tenant:
        with self._database.read() as session:
            return _tenant(_found(session, tenant_id))

    def count(self) -> int:
        with self._database.read() as session:
            return session.execute(select(func.count()).select_from(TenantRow)).scalar_one()

    def set_quota(self, tenant_id: str, quota: Json) -> Tenant:
        with self._database.write() as session:
            row = _found(session, tenant_id)
            row.quota = dict(quota)
            return _tenant(row)

    def issue_key(
        self,
        tenant_id: str,
        name: str,
        scopes: Sequence[Scope],
        expires_at: datetime | None = None,
        secret: str | None = None,
        once: Once | None = None,
    ) -> IssuedKey:
        """`secret` is given for the key an operator brings along at the first start.

        Raises Conflict `key_exists`, and `reply_not_kept` where a former attempt of the same request made it.
        """
        secret = secret or new_secret()
        row = KeyRow(
            id=self._database.ids.new("key"),
            tenant_id=tenant_id,
            name=name,
            prefix=secret[: min(SHOWN, len(secret) // 3)],  # of a short secret of the operator's own, less
            digest=_digest(secret),
            scopes=list(scopes),
            created_at=self._database.now(),
            expires_at=expires_at,
        )
        try:
            with self._database.write() as session:
                _found(session, tenant_id)
                if already(session, once) is not None:
                    raise shown_once()
                session.add(row)
                note_done(session, once, row.id)
        except IntegrityError as error:
            raise Conflict("This secret is in use for another key.", code="key_exists") from error
        return IssuedKey(_key(row), secret)

    def keys(self, tenant_id: str, after: str | None = None, limit: int = 100) -> Page[Key]:
        """Revoked and expired ones included, oldest first."""
        query = select(KeyRow).where(KeyRow.tenant_id == tenant_id, KeyRow.id > (after or ""))
        with self._database.read() as session:
            return cut(session.scalars(query.order_by(KeyRow.id).limit(one_more(limit))).all(), limit, _key)

    def revoke(self, tenant_id: str, key_id: str) -> Key:
        """From the next `authenticate` on the key is nobody's; revoking again changes nothing."""
        with self._database.write() as session:
            row = session.scalar(select(KeyRow).where(KeyRow.id == key_id, KeyRow.tenant_id == tenant_id))
            if row is None:
                raise NotFound(f"There is no key {key_id!r}.")
            row.revoked_at = row.revoked_at or self._database.now()
            return _key(row)

    def authenticate(self, secret: str) -> Principal | None:
        """None for a secret that is unknown, expired or revoked: the three are never told apart."""
        digest = _digest(secret)
        query = select(KeyRow, TenantRow).join(TenantRow, TenantRow.id == KeyRow.tenant_id)
        with self._database.read() as session:
            found = session.execute(query.where(KeyRow.digest == digest)).one_or_none()
            if found is None:
                return None
            key, tenant = _key(found[0]), _tenant(found[1])
            same = hmac.compare_digest(found[0].digest, digest)
        expired = key.expires_at is not None and key.expires_at <= self._database.now()
        return None if not same or expired or key.revoked_at is not None else Principal(tenant, key)

    def usage(self, tenant_id: str) -> dict[str, int]:
        """See `quotas.usage`."""
        with self._database.read() as session:
            return usage(session, tenant_id)

    def require_room(self, tenant_id: str, *, projects: int = 0, samples: Sequence[NewSample] = ()) -> None:
        """Ahead of work that would be for nothing; whoever stores asks again. Raises TooLarge `quota_exceeded`."""
        with self._database.read() as session:
            require_room(session, tenant_id, projects=projects, samples=samples)


def new_secret() -> str:
    return "tsk_" + secrets.token_urlsafe(SECRET_BYTES)


def _found(session: Session, tenant_id: str) -> TenantRow:
    row = session.get(TenantRow, tenant_id)
    if row is None:
        raise NotFound(f"There is no tenant {tenant_id!r}.")
    return row


def _digest(secret: str) -> str:
    # A header may carry any bytes; what is no text is simply no key of ours.
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


def _tenant(row: TenantRow) -> Tenant:
    return Tenant(row.id, row.name, row.operator, row.quota, row.created_at)


def _key(row: KeyRow) -> Key:
    return Key(
        id=row.id,
        tenant_id=row.tenant_id,
        name=row.name,
        prefix=row.prefix,
        scopes=cast(tuple[Scope, ...], tuple(row.scopes)),
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
    )
