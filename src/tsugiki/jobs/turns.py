"""Whose job is next: tenants take turns job by job, however many each of them has waiting."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tsugiki.storage.adaptations import Waiting


class Turns:
    """A tenant that begins to wait goes behind those who do already, and one whose job was taken behind all of them.

    So between two jobs of one tenant each other tenant that waits has one. The order is this process's memory: after
    a restart it begins with who has waited longest.
    """

    def __init__(self) -> None:
        self._order: dict[str, None] = {}  # the tenants that wait, whose turn it is first

    def take(self, waiting: Iterable[Waiting], busy: Collection[str]) -> Waiting | None:
        """The next one of all that wait, which are told oldest first; none of a tenant that is busy."""
        oldest: dict[str, Waiting] = {}
        for job in waiting:
            oldest.setdefault(job.tenant_id, job)
        stayed = [tenant_id for tenant_id in self._order if tenant_id in oldest]
        self._order = dict.fromkeys([*stayed, *oldest])
        tenant_id = next((tenant_id for tenant_id in self._order if tenant_id not in busy), None)
        if tenant_id is None:
            return None
        del self._order[tenant_id]
        self._order[tenant_id] = None
        return oldest[tenant_id]
