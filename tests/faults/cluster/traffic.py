"""Threads that adapt, predict, add samples and move aliases at whichever replica, and ask again what was cut off."""

from __future__ import annotations

import random
import threading
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import httpx

from tests.faults.cluster.bed import REPLICAS, Cluster
from tests.faults.cluster.journal import BATCH, Answers
from tests.faults.cluster.tenants import PATH, Tenant

THREADS = 4
PAUSE_S = 0.02  # between a thread's requests: the replicas, trainers and servers share the cores
DEEP_AT_ONCE = 3  # trainings that are on their way, so that what is left in the end takes no minutes
Act = Literal["predict", "samples", "head", "lora", "move"]
WEIGHTS: dict[Act, int] = {"predict": 70, "samples": 12, "head": 8, "lora": 4, "move": 6}
RETRIED = frozenset({409, 429, 502, 503})  # with an Idempotency-Key 409 says that the first one may still run
AGAIN = 0.3  # how often a thread asks again, rather than something new
MAX_WAITING = 4  # writes of a thread that were cut off: more would be work of minutes once nobody is killed
DRAIN_S, DRAIN_PAUSE_S = 60.0, 0.5


@dataclass(frozen=True, slots=True)
class Ask:
    """A write with a key of its own: sent until it is answered, however often that is."""

    tenant: Tenant
    act: Act
    key: str
    path: str
    body: dict[str, Any]  # Any: JSON


class Traffic:
    """Runs until it is closed; what it was told is in the tenants' `told`."""

    def __init__(self, cluster: Cluster, tenants: Sequence[Tenant], seed: int, answers: Answers) -> None:
        self._cluster = cluster
        self._answers = answers
        self.statuses: Counter[str] = Counter()
        self.unexpected: list[str] = []
        self._closed = threading.Event()
        self._count = threading.Lock()
        self._deep: set[str] = set()  # jobs on their way to a trainer
        self._threads = [
            threading.Thread(target=self._run, args=(tenants[number::THREADS], random.Random(seed + number)))
            for number in range(THREADS)
        ]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Waits until each write that was begun has been answered."""
        self._closed.set()
        for thread in self._threads:
            thread.join()

    def _run(self, tenants: Sequence[Tenant], chance: random.Random) -> None:
        waiting: list[Ask] = []
        clients = [self._cluster.connect(number) for number in range(REPLICAS)]
        while not self._closed.wait(PAUSE_S):
            if len(waiting) >= MAX_WAITING or (waiting and chance.random() < AGAIN):
                ask = waiting.pop(0)
            else:
                tenant = chance.choice(tenants)
                act = chance.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
                if act in ("predict", "move"):
                    (self._predict if act == "predict" else self._move)(chance.choice(clients), tenant, chance)
                    continue
                if act == "lora" and self._deep_are_many(chance.choice(clients)):
                    continue
                ask = _ask(tenant, act)
            if not self._write(chance.choice(clients), ask):
                waiting.append(ask)
        self._drain(waiting, clients, chance)
        for client in clients:
            client.close()

    def _drain(self, waiting: list[Ask], clients: list[httpx.Client], chance: random.Random) -> None:
        never = threading.Event()
        for _ in range(round(DRAIN_S / DRAIN_PAUSE_S)):
            waiting = [ask for ask in waiting if not self._write(chance.choice(clients), ask)]
            if not waiting:
                return
            never.wait(DRAIN_PAUSE_S)
        self.unexpected += [f"{ask.act} of {ask.tenant.name} was never answered" for ask in waiting]

    def _send(self, act: str, http: httpx.Client, tenant: Tenant, method: str, path: str, **more: Any) -> Any:  # JSON
        """What was answered; None where nothing was, or where it has to be asked again."""
        headers = tenant.headers | more.pop("headers", {})
        try:
            reply = http.request(method, path, headers=headers, **more)
        except httpx.TransportError as error:
            self._note(f"{act} {type(error).__name__}")
            return None
        self._note(f"{act} {reply.status_code}")
        if reply.status_code in (200, 202):
            return reply.json()
        if reply.status_code not in RETRIED or (reply.status_code != 409 and "retry-after" not in reply.headers):
            self._note_unexpected(f"{act}: {reply.status_code} {reply.text[:200]}")
        return None

    def _predict(self, http: httpx.Client, tenant: Tenant, chance: random.Random) -> None:
        texts = chance.sample(tenant.texts, chance.randint(1, len(tenant.texts)))
        found = self._send("predict", http, tenant, "POST", f"{PATH}/predict", json={"inputs": texts})
        if found is None:
            return
        for text, row in zip(texts, found["data"], strict=True):
            (best,) = row["scores"]
            self._answers.add(tenant.name, found["version"], text, best["label"], best["score"])

    def _move(self, http: httpx.Client, tenant: Tenant, chance: random.Random) -> None:
        known = sorted(tenant.told.versions.values())
        wanted = chance.choice(known)
        body = {"version": wanted}
        if self._send("move", http, tenant, "PUT", f"{PATH}/aliases/live", json=body) is not None:
            tenant.told.moves.append(wanted)

    def _write(self, http: httpx.Client, ask: Ask) -> bool:
        """Whether it is answered."""
        keyed = {"Idempotency-Key": ask.key}
        found = self._send(ask.act, http, ask.tenant, "POST", ask.path, json=ask.body, headers=keyed)
        if found is None:
            return False
        told = ask.tenant.told
        if ask.act == "samples":
            if found["accepted"] + found["duplicates"] != BATCH:
                self._note_unexpected(f"samples: {found['accepted']} accepted, {found['duplicates']} duplicates")
            told.batches.add(ask.key)
        else:
            told.jobs[ask.key] = found["id"]
            if found["version"] is not None:
                told.versions[found["id"]] = found["version"]
            if ask.act == "lora":
                with self._count:
                    self._deep.add(f"{found['id']} {ask.tenant.key}")
        return True

    def _deep_are_many(self, http: httpx.Client) -> bool:
        with self._count:
            asked = set(self._deep)
        if len(asked) < DEEP_AT_ONCE:
            return False
        ended: set[str] = set()
        for one in asked:
            job, key = one.split()
            try:
                reply = http.get(f"/v1/adaptations/{job}", headers={"Authorization": f"Bearer {key}"})
            except httpx.TransportError:
                return True
            if reply.status_code == 200 and reply.json()["finished_at"] is not None:
                ended.add(one)
        with self._count:
            self._deep -= ended
        return len(asked - ended) >= DEEP_AT_ONCE

    def _note(self, what: str) -> None:
        with self._count:
            self.statuses[what] += 1

    def _note_unexpected(self, what: str) -> None:
        with self._count:
            self.unexpected.append(what)


def _ask(tenant: Tenant, act: Act) -> Ask:
    key = uuid.uuid4().hex
    if act == "samples":
        return Ask(tenant, act, key, f"{PATH}/samples", {"samples": tenant.samples(key, BATCH // 2)})
    wish = {"method": act, "promote": "gate" if act == "head" else "always", "wait_seconds": 5 if act == "head" else 0}
    return Ask(tenant, act, key, f"{PATH}/adaptations", wish)
