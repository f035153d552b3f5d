"""A tenant with all it may have, as a former release wrote it: by SQL, at the first revision's columns."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import numpy as np
from sqlalchemy import text
from sqlalchemy.orm import Session

from tests.storage.making import graft
from tsugiki.storage import grafts
from tsugiki.storage.blobs import Blobs
from tsugiki.storage.database import Database

SECRET = "tsk_of-a-former-release"
TENANT, PROJECT, SAMPLE, JOB, EXPORT = "ten_1", "proj_1", "smp_1", "adp_1", "exp_1"
AT = "2026-01-01 00:00:00.250000"
VECTOR = np.arange(4, dtype="<f4")


class Former(Database):
    """Stops at a revision."""

    def migrate_to(self, revision: str) -> None:
        from alembic import command

        with self._writer.begin() as connection:
            self._alembic.attributes["connection"] = connection
            command.upgrade(self._alembic, revision)


def furnish(session: Session, blobs: Blobs, reply: bytes) -> None:
    """One of each thing; the only version is live, and exported. `reply` is one that is kept, as rows have it."""
    digest = blobs.put(PROJECT, grafts.encode(graft()))
    evaluation = blobs.put(PROJECT, json.dumps({"accuracy": {"value": 0.5}}).encode())
    exported = blobs.put(PROJECT, b"exported")
    snapshot = {"sample_ids": [SAMPLE], "labels": ["no", "yes"], "targets": [0], "folds": [0]}
    of_project, version = {"project_id": PROJECT}, {"project_id": PROJECT, "version": 1}
    rows: list[tuple[str, Mapping[str, Any]]] = [
        ("tenants", {"id": TENANT, "name": "acme", "operator": False, "quota": {"samples": 9}, "created_at": AT}),
        (
            "keys",
            {"id": "key_1", "tenant_id": TENANT, "name": "k", "prefix": "tsk_", "scopes": ["predict"], "created_at": AT}
            | {"digest": sha256(SECRET.encode()).hexdigest(), "expires_at": None, "revoked_at": None},
        ),
        (
            "projects",
            {"id": PROJECT, "tenant_id": TENANT, "name": "support", "modality": "text", "task": "single_label"}
            | {"backbone": "tiny", "labels": [], "policy": {}, "created_at": AT},
        ),
        (
            "samples",
            {"id": SAMPLE, "content": "words", "content_sha": "sha", "group": "sha", "label": "no"}
            | {"external_id": None, "source": "import", "metadata": {"page": 1}, "status": "accepted", "issues": []}
            | {**of_project, "created_at": AT},
        ),
        ("features", {"sample_id": SAMPLE, "space_id": "fsp_tiny", "vector": VECTOR.tobytes()}),
        ("snapshots", {"id": "snp_1", **of_project, "digest": "d", "content": snapshot, "created_at": AT}),
        (
            "adaptations",
            {"id": JOB, "tenant_id": TENANT, **of_project, "status": "succeeded"}
            | {"phase": "promote", "request": {"method": "head"}, "fraction": 1.0, "attempts": 1, "version": 1}
            | {"plan": None, "gate": {"reason": "first"}, "error": None, "timings": {"fit_ms": 1.5}}
            | {"created_at": AT, "finished_at": AT},
        ),
        ("events", {"adaptation_id": JOB, "seq": 1, "at": AT, "type": "phase", "data": {"phase": "fit"}}),
        (
            "versions",
            {**of_project, "number": 1, "adaptation_id": JOB, "digest": digest, "evaluation": evaluation}
            | {"method": "head", "backbone": "tiny", "feature_space": "fsp_tiny", "labels": ["no", "yes"]}
            | {"snapshot": "snp_1", "metrics": {"accuracy": 0.5}, "lineage": {}, "created_at": AT},
        ),
        ("aliases", {**version, "name": "live", "moved_at": AT}),
        (
            "alias_moves",
            {"id": 1, **of_project, "alias": "live", "kind": "move", "from_version": None, "to_version": 1}
            | {"reason": "first", "actor": JOB, "at": AT},
        ),
        (
            "exports",
            {"id": EXPORT, **version, "precision": "fp32", "status": "succeeded", "bytes": 8, "sha256": exported}
            | {"parity": {"equal": True}, "latency": {"p50_ms": 0.1}, "error": None, "created_at": AT},
        ),
        (
            "idempotency",
            {"tenant_id": TENANT, "key": "once", "fingerprint": "print", **of_project, "status": 201}
            | {"content_type": "application/json", "body": reply, "created_at": AT},
        ),
    ]
    for table, row in rows:
        names, binds = ", ".join(f'"{name}"' for name in row), ", ".join(f":{name}" for name in row)
        values = {name: json.dumps(value) if isinstance(value, dict | list) else value for name, value in row.items()}
        session.execute(text(f"INSERT INTO {table} ({names}) VALUES ({binds})"), values)
