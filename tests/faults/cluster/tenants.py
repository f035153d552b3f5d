"""Tenants of a cluster, each with labels of its own, so that an answer of another's is seen; what is stored of them."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.faults.cluster.bed import KEY, Cluster
from tests.faults.cluster.journal import Job, Stored, Told
from tests.faults.lives import everything

WORDS = {"billing": "money refund charge", "delivery": "parcel late arrive"}
FIRST = 12  # samples of each label
AT_ONCE = 4
PROJECT = "own"  # of each tenant: a name tells nothing of whose it is
PATH = f"/v1/projects/{PROJECT}"
FIRST_BATCH = "first"  # the source of what a tenant begins with


@dataclass(slots=True)
class Tenant:
    name: str
    key: str
    told: Told = field(default_factory=Told)
    batches: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"}

    @property
    def texts(self) -> list[str]:
        return [*WORDS.values(), "please help"]

    def samples(self, batch: str, each: int) -> list[dict[str, str]]:
        return [
            {"input": f"{words} {batch} {row}", "label": f"{self.name}-{label}", "source": batch}
            for label, words in WORDS.items()
            for row in range(each)
        ]


def settle(cluster: Cluster, names: Sequence[str], versions: int = 1) -> list[Tenant]:
    """Tenants with so many versions each, the first by the verb, all told of."""
    with cluster.connect(0, KEY, 120) as http:

        def one(name: str) -> Tenant:
            return _settled(http, name, versions)

        return list(ThreadPoolExecutor(AT_ONCE).map(one, names))


def stored(http: httpx.Client, tenant: Tenant) -> Stored:
    """Through the API, with the tenant's own key."""
    http.headers.update(tenant.headers)
    jobs = [_job(row) for row in everything(http, f"{PATH}/adaptations")]
    moves = http.get(f"{PATH}/aliases/live/history").raise_for_status().json()["data"]
    return Stored(
        [row["source"] for row in everything(http, f"{PATH}/samples") if row["source"] != FIRST_BATCH],
        jobs,
        [row["version"] for row in everything(http, f"{PATH}/versions")],
        [move["to_version"] for move in reversed(moves)],
    )


def _settled(http: httpx.Client, name: str, versions: int) -> Tenant:
    made = http.post("/admin/v1/tenants", json={"name": name}).raise_for_status().json()
    issued = http.post(f"/admin/v1/tenants/{made['id']}/keys", json={"scopes": ["predict", "annotate", "adapt"]})
    tenant = Tenant(name, issued.raise_for_status().json()["secret"])
    for number in range(1, versions + 1):
        rows = tenant.samples(FIRST_BATCH, FIRST) if number == 1 else []
        body = {"project": PROJECT, "samples": rows, "method": "head", "wait_seconds": 60}
        reply = http.post("/adapt", json=body, headers=tenant.headers).raise_for_status().json()
        job = reply["adaptation"]
        assert job["version"] == number, job
        tenant.told.jobs[f"first-{number}"] = job["id"]
        tenant.told.versions[job["id"]] = number
    return tenant


def _job(row: dict[str, Any]) -> Job:  # Any: JSON
    return Job(row["id"], row["status"], row["version"], "" if row["error"] is None else row["error"]["code"])
