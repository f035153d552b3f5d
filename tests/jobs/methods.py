"""Ways to adapt that do something else while they fit: the head itself, fitted for real."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from adapters.head import HeadMethod
from tsugiki.domain import Budget, Fitted, MethodName, Profile, TrainingSet, Verdict
from tsugiki.ports import Backbone, Progress


@dataclass(slots=True)
class Interrupted:
    """The head, fitted for real; something else happens once it is."""

    meanwhile: Callable[[], object]
    fitted: int = 0
    method: HeadMethod = field(default_factory=HeadMethod)

    @property
    def name(self) -> MethodName:
        return self.method.name

    def assess(self, profile: Profile, budget: Budget) -> Verdict:
        return self.method.assess(profile, budget)

    def fit(self, backbone: Backbone, data: TrainingSet, budget: Budget, progress: Progress) -> Fitted:
        self.fitted += 1
        found = self.method.fit(backbone, data, budget, progress)
        self.meanwhile()
        progress.check()
        return found


class Endless(Interrupted):
    """Never done: only a look at whether to stop ends it."""

    def fit(self, backbone: Backbone, data: TrainingSet, budget: Budget, progress: Progress) -> Fitted:
        self.meanwhile()
        while True:
            progress.check()
