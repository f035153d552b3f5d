"""The first key of an empty store."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from tsugiki.storage.tenants import new_secret

if TYPE_CHECKING:
    from service.settings import Settings
    from tsugiki.storage.tenants import Tenants

BOOTSTRAP_KEY_FILE = "bootstrap-key"


def bootstrap(settings: Settings, tenants: Tenants) -> None:
    """Tenant `default` with an admin key, in an empty store only; taken up again if a former start died half-way."""
    found = tenants.list(limit=1).data
    if found and tenants.keys(found[0].id, limit=1).data:
        return
    tenant = found[0] if found else tenants.create("default", operator=True)
    given = settings.bootstrap_key
    if given is not None:
        tenants.issue_key(tenant.id, "bootstrap", ["admin"], secret=given.get_secret_value())
        return
    secret = new_secret()
    path = settings.root / BOOTSTRAP_KEY_FILE
    # Written before it works: a key that works and was never told would lock the operator out.
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(secret + "\n")
    tenants.issue_key(tenant.id, "bootstrap", ["admin"], secret=secret)
    sys.stderr.write(f"tsugiki: first start, the admin key is {secret} (also in {path})\n")
