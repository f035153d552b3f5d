"""The deep lane as the serving process sees it: what is queued for the trainer, which runs elsewhere."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tsugiki.domain import MethodName
from tsugiki.jobs.lane import bound_waiting

if TYPE_CHECKING:
    from tsugiki.domain import Budget, Fitted, Profile, TrainingSet, Verdict
    from tsugiki.ports import Backbone, Method, Progress
    from tsugiki.storage.adaptations import Adaptations

DEEP: frozenset[MethodName] = frozenset({"lora", "partial", "full"})
RETRY_AFTER_S = 60  # the time of a short one


class DeepLane:
    """A row is all there is of a queued one: the trainer finds it, and no other process may lose it."""

    def __init__(self, adaptations: Adaptations) -> None:
        self._adaptations = adaptations

    @property
    def waiting(self) -> int:
        return self._adaptations.waiting_for_trainer()

    def admit(self, tenant_id: str) -> None:
        """To be asked before an adaptation is recorded. Raises Overloaded."""
        bound_waiting(self._adaptations.waiting_for_trainer(tenant_id), RETRY_AFTER_S)


@dataclass(frozen=True, slots=True)
class Untrained:
    """A deep method where there is no trainer: a plan tells why it is left out."""

    method: Method

    @property
    def name(self) -> MethodName:
        return self.method.name

    def assess(self, profile: Profile, budget: Budget) -> Verdict:
        why = "it is trained in a process of its own, which is switched off here (TSUGIKI_TRAINER)"
        return replace(self.method.assess(profile, budget), skipped=why)

    def fit(self, backbone: Backbone, data: TrainingSet, budget: Budget, progress: Progress) -> Fitted:
        raise AssertionError("no plan chooses a method that it skips: this is a bug")
