"""All peers at once, each with the number of threads that suits it, idle until they are asked."""

from __future__ import annotations

import re
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx

from service.launch import free_port
from tests.bench.serving.bed import Bed, say
from tests.bench.serving.peers.known import PEERS
from tests.bench.serving.peers.peer import Peer, PeerFailed, Start, running
from tests.bench.serving.targets import SOME, TENANTS, Target
from tests.bench.serving.weights import weights

ENVIRONMENTS = Path("bench-results") / "peers"
WARM_S, TRY_S = 2.0, 3.0


class Asked(NamedTuple):
    """Who could be measured and how each was run, and why the others could not, both by name."""

    targets: list[Target]
    notes: dict[str, str]
    failed: dict[str, str]


@contextmanager
def all_peers(bed: Bed) -> Generator[Asked]:
    asked = Asked([], {}, {})
    with ExitStack() as stack:
        for peer in PEERS:
            say(f"installing, trying and starting {peer.name}")
            try:
                start, told = _best(bed, peer, _started(bed, peer))
                asked.targets.append(stack.enter_context(_listening(bed, peer, start)))
                asked.notes[peer.name] = f"{peer.note}; {told}"
            except PeerFailed as failure:
                say(f"{peer.name} {failure}")
                asked.failed[peer.name] = str(failure)
        yield asked


def _started(bed: Bed, peer: Peer) -> Start:
    folder = bed.work / re.sub(r"\W+", "-", f"peer {peer.name}")
    folder.mkdir()
    python = peer.install(ENVIRONMENTS.absolute())
    return Start(python, free_port(), folder, weights(), min(TENANTS, len(bed.tenants)), bed.cores)


def _best(bed: Bed, peer: Peer, start: Start) -> tuple[Start, str]:
    """With one thread or with one a core, whichever answers more; both rates in words."""
    rates: dict[int, float] = {}
    for threads in sorted({1, bed.cores}):
        with _listening(bed, peer, start._replace(threads=threads)) as target:
            rates[threads] = target.run(SOME, TRY_S).rate
    best = max(rates, key=lambda threads: rates[threads])
    tried = ", ".join(f"{threads}: {rate:.0f}" for threads, rate in rates.items())
    return start._replace(threads=best), f"torch threads {best} of ({tried})"


@contextmanager
def _listening(bed: Bed, peer: Peer, start: Start) -> Generator[Target]:
    """Warm, and each has answered right once."""
    fresh = start._replace(port=free_port())
    with running(peer, fresh):
        target = Target(bed, peer.name, fresh.port, peer.ask)
        _check(target)
        target.run(SOME, WARM_S)
        yield target


def _check(target: Target) -> None:
    """Raises PeerFailed unless it answers single texts and batches, a label a text."""
    for texts in (["lost card"], ["lost card", "card arrived"] * 32):
        question = target.ask(1, texts)
        reply = httpx.post(f"http://127.0.0.1:{target.port}{question.path}", json=question.body, timeout=60)
        if reply.status_code != 200 or reply.text.count("label") < len(texts):
            raise PeerFailed(f"answered {len(texts)} texts with {reply.status_code}: {reply.text[:200]}")
