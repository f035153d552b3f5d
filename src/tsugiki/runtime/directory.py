"""From names to versions: project and alias (or number) resolved once a request, remembered until something moves."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tsugiki.domain import LIVE
from tsugiki.errors import NoVersion
from tsugiki.evaluation.abstention import abstain_below

if TYPE_CHECKING:
    from tsugiki.domain import Project, Version
    from tsugiki.storage.registry import Registry

REMEMBERED = 20_000  # each holds its project, version and headline metrics; the bound keeps names from piling up


@dataclass(frozen=True, slots=True)
class Selector:
    """What a caller asked for: a version's number, else an alias."""

    alias: str = LIVE
    version: int | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """The answer to a Selector. `abstain_below`: scores under it answer `abstain`; None never does."""

    project: Project
    alias: str | None
    version: Version
    abstain_below: float | None


Asked = tuple[str, str, Selector]  # (tenant id, project id or name, selector)


class Directory:
    """Remembers resolved targets; `forget` is called whenever a project or one of its aliases changes. Thread-safe."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._lock = threading.Lock()
        self._targets: OrderedDict[Asked, Target] = OrderedDict()
        self._asked_of: dict[str, set[Asked]] = {}
        self._epoch = 0

    def remembered(self, tenant_id: str, ref: str, selector: Selector) -> Target | None:
        return self._targets.get((tenant_id, ref, selector))  # one step of the interpreter: no lock to wait for

    def resolve(self, tenant_id: str, ref: str, selector: Selector) -> Target:
        """Reads the database unless remembered. Raises NotFound, NoVersion."""
        if (target := self.remembered(tenant_id, ref, selector)) is not None:
            return target
        epoch = self._epoch
        target = self._read(tenant_id, ref, selector)
        with self._lock:
            # What was read may have moved meanwhile: then the caller gets it, as it asked before, but nobody after.
            if epoch == self._epoch:
                self._remember((tenant_id, ref, selector), target)
        return target

    def forget(self, project_id: str) -> None:
        with self._lock:
            self._epoch += 1
            for asked in self._asked_of.pop(project_id, ()):
                self._targets.pop(asked, None)

    def _remember(self, asked: Asked, target: Target) -> None:
        self._targets[asked] = target
        self._asked_of.setdefault(target.project.id, set()).add(asked)
        if len(self._targets) > REMEMBERED:
            oldest, gone = self._targets.popitem(last=False)
            self._asked_of[gone.project.id].discard(oldest)
            if not self._asked_of[gone.project.id]:
                del self._asked_of[gone.project.id]

    def _read(self, tenant_id: str, ref: str, selector: Selector) -> Target:
        project, version = self._registry.resolve(tenant_id, ref, selector.alias, selector.version)
        if version is None:
            raise NoVersion(
                f"project {project.name!r} has no version under alias {selector.alias!r}",
                fix="POST labelled samples to /adapt, declare two labels or more, or name an existing ?version=",
            )
        alias = selector.alias if selector.version is None else None
        return Target(project, alias, version, self.abstain_below(project, version))

    def abstain_below(self, project: Project, version: Version) -> float | None:
        """Up to which probability the project's policy wants no label of the version; None where it wants all."""
        wanted = project.policy.abstain_precision
        return None if wanted is None else abstain_below(wanted, self._registry.evaluation(version)["report"])
