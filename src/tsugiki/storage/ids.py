"""Ids whose order is the order of creation: `prefix_` + ULID."""

import secrets
from threading import Lock
from typing import Literal

from ulid import ULID

from tsugiki.storage.clock import Clock

Prefix = Literal["proj", "smp", "snp", "adp", "exp", "key", "ten"]

RANDOM_BITS = 80  # of a ULID, https://github.com/ulid/spec
MS_BYTES, RANDOM_BYTES = 6, 10


class Ids:
    """Makes ids that grow, also within one millisecond and when the clock is set back; thread-safe.

    Lists are ordered by id, so two samples of one batch must not swap: within a millisecond the random part
    is counted up by one, as the ULID specification has it.
    """

    def __init__(self, now: Clock) -> None:
        self._now = now
        self._lock = Lock()
        self._last = 0  # the last id's 128 bits

    def new(self, prefix: Prefix) -> str:
        fresh = int(self._now().timestamp() * 1000) << RANDOM_BITS | secrets.randbits(RANDOM_BITS)
        with self._lock:
            if fresh >> RANDOM_BITS <= self._last >> RANDOM_BITS:
                fresh = self._last + 1
            self._last = fresh
        return f"{prefix}_{ULID.from_bytes(fresh.to_bytes(MS_BYTES + RANDOM_BYTES, 'big'))}"
