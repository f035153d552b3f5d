"""Which backbone `auto` means for a project: the default, unless the first samples are in languages it has not read."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from tsugiki.data.languages import ENOUGH, covered, languages_of, name_of, told_shares
from tsugiki.errors import Invalid, TsugikiError
from tsugiki.jobs.recommending import try_backbones

if TYPE_CHECKING:
    from tsugiki.domain import Project
    from tsugiki.jobs.recommending import Trial
    from tsugiki.ports import Embedder, Method
    from tsugiki.storage.projects import Projects
    from tsugiki.storage.samples import LabelledSample, Samples

log = logging.getLogger(__name__)

TRIED_ROWS = 120  # of a project: seconds a backbone, where somebody waits; nine points of accuracy are seen
SPELT_OUT = 3  # languages of a backbone; more are counted

Shares = Mapping[str, float]  # of the samples, by language


class Choice(NamedTuple):
    """`reasons` are for the plan: why it is not the default, or what speaks against the one there is."""

    project: Project
    reasons: tuple[str, ...] = ()


Chooser = Callable[["Project", "Sequence[LabelledSample]"], Choice]


@dataclass(frozen=True, slots=True)
class Offers:
    """Backbones for texts, with the languages they have read; none where they do not state any."""

    installed: Mapping[str, Collection[str]]
    missing: Mapping[str, Collection[str]] = field(default_factory=dict[str, Collection[str]])  # by what installs them


def foreign(shares: Shares, languages: Collection[str]) -> bool:
    """Whether it states what it has read, and that is too little of the samples."""
    return bool(shares) and bool(languages) and covered(shares, languages) < ENOUGH


def told_foreign(shares: Shares, languages: Collection[str]) -> str:
    """`trained on English, and of the samples 97 % look Japanese, 3 % English`, as a reason."""
    known = [name_of(code) for code in languages]
    told = " and ".join(known) if len(known) <= SPELT_OUT else f"{len(known)} languages"
    return f"trained on {told}, and of the samples {told_shares(shares)}"


class Choosing:
    """A `Chooser`: settles the backbone of a project once; one that was named is never changed."""

    def __init__(
        self, projects: Projects, samples: Samples, embedder: Embedder, method: Method, offers: Callable[[], Offers]
    ) -> None:
        self._projects = projects
        self._samples = samples
        self._embedder = embedder
        self._method = method
        self._offers = offers

    def __call__(self, project: Project, rows: Sequence[LabelledSample]) -> Choice:
        """Takes milliseconds where the backbone there is has read the language; else candidates are loaded and tried.

        Raises NotFound once the project is gone.
        """
        if project.modality != "text" or not rows:
            return Choice(project)
        offers = self._offers()
        languages = offers.installed.get(project.backbone, ())
        shares = languages_of([row.content for row in rows]) if languages else {}
        if not foreign(shares, languages):
            return Choice(self._settled(project, project.backbone))
        against = f"{project.backbone} was {told_foreign(shares, languages)}"
        if not project.backbone_open:
            return Choice(project, (f"{against}; POST /v1/backbones/recommend tells what suits them",))
        suited = [name for name, known in offers.installed.items() if known and not foreign(shares, known)]
        name, why = self._best(project, suited)
        if name is None:
            return Choice(self._settled(project, project.backbone), (f"{against}; {_lacking(offers, shares)}",))
        log.info("project %s gets %s", project.id, name)
        return Choice(self._settled(project, name), (f"{name} instead of the default, for {against}; {why}",))

    def _settled(self, project: Project, backbone: str) -> Project:
        return self._projects.settle(project.id, backbone) if project.backbone_open else project

    def _best(self, project: Project, suited: Sequence[str]) -> tuple[str | None, str]:
        """None where none of them can be loaded."""
        usable = [name for name in suited if self._loads(name)]
        if len(usable) < 2:
            return (usable[0], "no other that is installed has read them") if usable else (None, "")
        try:
            trials = try_backbones(usable, project, self._samples, self._embedder, self._method, most_rows=TRIED_ROWS)
        except Invalid as error:
            return usable[0], f"untried beside {', '.join(usable[1:])}: {error.detail}"
        return trials[0].backbone, "tried: " + ", ".join(_told(trial) for trial in trials)

    def _loads(self, name: str) -> bool:
        try:
            self._embedder.backbone(name)
        except TsugikiError as error:
            log.warning("backbone %s cannot be a candidate: %s", name, error.detail)
            return False
        return True


def _told(trial: Trial) -> str:
    if trial.why_not is not None:
        return f"{trial.backbone} not ({trial.why_not})"
    low, high = trial.ci95
    held = f"{100 * trial.accuracy:.1f} % right ({100 * low:.1f} to {100 * high:.1f}) of {trial.rows} held out"
    return f"{trial.backbone} {held}, {trial.ms:g} ms an input"


def _lacking(offers: Offers, shares: Shares) -> str:
    found = [install for install, known in offers.missing.items() if known and not foreign(shares, known)]
    if found:
        return f"{found[0]} brings one that has read them; then PATCH the project's backbone"
    return "none that is installed has read them; name one in TSUGIKI_BACKBONES"
