"""From an API key to its tenant, remembered briefly so that a hot request asks no database."""

from __future__ import annotations

import hashlib
import math
import threading
import time
from base64 import b64decode
from binascii import Error as NotBase64
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tsugiki.domain import Scope
from tsugiki.errors import Forbidden, Overloaded, Unauthenticated
from tsugiki.storage.clock import utc_now

if TYPE_CHECKING:
    from tsugiki.storage.tenants import Principal, Tenants

REMEMBERED_S = 2.0  # a revoked key stops working everywhere within 5 s; this leaves room for the rest
TRUSTED_S = 900.0  # while nobody can be asked; a key that is revoked meanwhile elsewhere still predicts here so long
AWAY_S = 2.0  # after an answer that did not come, keys that are trusted do not ask again
ALONE_S = 60.0  # where no other process could revoke it: a key asked for every few seconds need not be read each time
REMEMBERED = 50_000
BURST_S = 2.0  # a tenant with a rate quota may use this many seconds of it at once


class Doorkeeper:
    """Checks keys and rates, as one of so many as `processes` tells. `clock` is monotonic, in seconds. Thread-safe.

    `alone` says that nobody else could revoke a key.

    Each process admits its share of a tenant's rate: all together no more than the rate, but for the moment until they
    know of a new one, and less than it where the tenant's connections lie unevenly on them.

    While the database is away, who was known lately may still predict, as that needs no database. Revoking a key does,
    so a revoked one predicts on only where this process alone is cut off, or its answers are late, no longer than
    `TRUSTED_S`; nothing else is ever done for it.
    """

    def __init__(
        self,
        tenants: Tenants,
        processes: Callable[[], int] = lambda: 1,
        clock: Callable[[], float] = time.monotonic,
        *,
        alone: bool = True,
    ) -> None:
        self._tenants = tenants
        self._processes = processes
        self._alone = alone
        self._clock = clock
        self._lock = threading.Lock()
        self._known: OrderedDict[bytes, _Known] = OrderedDict()
        self._away_until = -math.inf
        self._epoch = 0
        self._allowance: OrderedDict[str, tuple[float, float]] = OrderedDict()  # tenant: (seen at, requests left)

    def remembered(self, secret: str, *, predicting: bool = False) -> Principal | None:
        """The key's owner if it was checked lately or, `predicting`, could not be just now; never blocks."""
        now = self._clock()
        with self._lock:
            found = self._known.get(_digest(secret))
        if found is None:
            return None
        trusted = predicting and now < self._away_until and found.trusted(now)
        return found.principal if trusted or now < found.until else None

    def trusts(self, secret: str) -> bool:
        """Whether the key may be taken while the database cannot be asked."""
        with self._lock:
            found = self._known.get(_digest(secret))
        return found is not None and found.trusted(self._clock())

    def away(self, secret: str) -> Principal | None:
        """The key's owner, if it is trusted while the database cannot be asked; for a moment it is not asked again."""
        now = self._clock()
        with self._lock:
            self._away_until = now + AWAY_S
            found = self._known.get(_digest(secret))
        return found.principal if found is not None and found.trusted(now) else None

    def identify(self, secret: str) -> Principal:
        """Reads the database. Raises Unauthenticated, Unavailable."""
        epoch = self._epoch
        principal = self._tenants.authenticate(secret)
        if principal is None:
            with self._lock:
                self._known.pop(_digest(secret), None)
            raise Unauthenticated(
                "the API key is unknown, expired or revoked", fix="send Authorization: Bearer <key> with a valid key"
            )
        lone = self._alone and principal.key.expires_at is None
        with self._lock:
            # What was read may have been revoked meanwhile: then this caller passes, as it came before, and none after.
            if epoch == self._epoch:
                now = self._clock()
                self._known[_digest(secret)] = _Known(principal, now + (ALONE_S if lone else REMEMBERED_S), now)
                self._known.move_to_end(_digest(secret))
            while len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        return principal

    def forget(self) -> None:
        """Called when a key, quota or tenant changes in this process."""
        with self._lock:
            self._epoch += 1
            self._known.clear()

    def admit(self, principal: Principal) -> None:
        """One request against the tenant's `requests_per_second`, where its quota has one. Raises Overloaded."""
        quota = principal.tenant.quota.get("requests_per_second")
        if quota is None:
            return
        rate = quota / self._processes()
        now = self._clock()
        with self._lock:
            burst = max(1.0, rate * BURST_S)
            seen, left = self._allowance.get(principal.tenant.id, (now, burst))
            left = min(burst, left + (now - seen) * rate)
            self._allowance[principal.tenant.id] = (now, left - 1 if left >= 1 else left)
            self._allowance.move_to_end(principal.tenant.id)
            while len(self._allowance) > REMEMBERED:
                self._allowance.popitem(last=False)
        if left < 1:
            raise Overloaded(
                f"the tenant may send {quota:g} requests a second",
                fix="slow down, or ask for a larger quota",
                retry_after_s=math.ceil((1 - left) / rate),
            )


@dataclass(frozen=True, slots=True)
class _Known:
    """A key's owner as it was read `at`; not asked about again `until`."""

    principal: Principal
    until: float
    at: float

    def trusted(self, now: float) -> bool:
        expires_at = self.principal.key.expires_at
        return now < self.at + TRUSTED_S and (expires_at is None or utc_now() < expires_at)


def secret_of(authorization: str | None, *, basic: bool) -> str:
    """The key in an Authorization header: Bearer, or where `basic`, Basic with the key as password."""
    scheme, _, value = (authorization or "").partition(" ")
    if scheme.lower() == "bearer" and value.strip():
        return value.strip()
    if basic and scheme.lower() == "basic":
        try:
            return b64decode(value, validate=True).decode().partition(":")[2]
        except (NotBase64, UnicodeDecodeError):
            pass  # falls through to the one message for all that is not a key
    raise Unauthenticated("no API key was sent", fix="send Authorization: Bearer <key>")


def require(principal: Principal, scope: Scope) -> None:
    """`admin` implies the others. Raises Forbidden."""
    if scope not in principal.key.scopes and "admin" not in principal.key.scopes:
        raise Forbidden(
            f"this needs the scope {scope!r}, the key has {', '.join(principal.key.scopes) or 'none'}",
            fix=f"use a key with the scope {scope!r}",
        )


def require_operator(principal: Principal) -> None:
    """Its admin key, too. Raises Forbidden."""
    require(principal, "admin")
    if not principal.tenant.operator:
        raise Forbidden("this is the operator's", fix="use an admin key of the operator tenant")


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
