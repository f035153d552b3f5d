"""Which backbone `auto` means for a project: the default, unless its samples tell that another one serves them better.

Two things do. One is their language, where the default has not read it: any sample tells. The other is a head on each
that is loaded, judged on the same samples held out, once there are FEWEST_ROWS of them: the most accurate one is taken
if it is better than the default beyond chance (a paired 95 % interval). So one that is no better is taken
by luck in one project of forty, and what a dearer one costs is paid for by points that so few samples can show, three
or more.

On draws of 120, 300, 600 training rows, ten each, E5 was taken instead of MiniLM for cr (+4.1 points on all of 2,500)
in 6, 8, 10 of them, and never for hwu64, clinc150 and banking77, where it is worse by 1.4, 0.7 and 3.1. Of pictures,
EfficientNet-Lite1 and 2 differ from Lite0 by less on hymenoptera and flowers5 (-1.3 to +1.1 points), and Lite0 stays.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol

from tsugiki.data.languages import ENOUGH, covered, languages_of, name_of, told_shares
from tsugiki.domain import MIN_PER_LABEL
from tsugiki.errors import Invalid, TsugikiError
from tsugiki.jobs.recommending import MOST_ROWS, Patience, drawn, try_backbones

if TYPE_CHECKING:
    from tsugiki.domain import Modality, Project
    from tsugiki.jobs.recommending import Trial
    from tsugiki.ports import Embedder, Method
    from tsugiki.storage.features import Features
    from tsugiki.storage.projects import Projects
    from tsugiki.storage.samples import LabelledSample, Samples

log = logging.getLogger(__name__)

FEWEST_ROWS = 120  # held out: see above
TRIED_ROWS = 120  # where the language wants another one anyway, and only which is asked
TRIED_S = 20.0  # of passes, one input at a time, for all that are tried: two cores and batches take half of it
SPELT_OUT = 3  # languages of a backbone; more are counted

Shares = Mapping[str, float]  # of the samples, by language


class Choice(NamedTuple):
    """`reasons` are for the plan: why it is the default or is not, or what speaks against the one there is."""

    project: Project
    reasons: tuple[str, ...] = ()


class Chooser(Protocol):
    def __call__(self, project: Project, rows: Sequence[LabelledSample]) -> Choice:
        """The project with its backbone settled, where the samples can tell. Raises NotFound once it is gone."""
        ...

    def ahead(self, project: Project) -> tuple[str, ...]:
        """What an adaptation would try first, as reasons; loads nothing."""
        ...


@dataclass(frozen=True, slots=True)
class Offers:
    """Backbones of one modality, with the languages they have read; none where they do not state any."""

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


class _Rivals(NamedTuple):
    """Backbones that a project might get instead of its own: those in memory, and others that are installed."""

    loaded: tuple[str, ...]
    others: tuple[str, ...]

    @property
    def untried(self) -> str:
        return f"not loaded, so not tried: {', '.join(self.others)} (POST /v1/backbones/recommend tries all)"


class Choosing:
    """A `Chooser`: settles the backbone of a project once; one that was named is never changed.

    `loaded` says which are: no adaptation waits for a network, or fills memory with it, unless the language wants one.
    """

    def __init__(
        self,
        projects: Projects,
        samples: Samples,
        features: Features,
        embedder: Embedder,
        method: Method,
        offers: Callable[[Modality], Offers],
        loaded: Callable[[str], bool],
    ) -> None:
        self._projects = projects
        self._samples = samples
        self._features = features
        self._embedder = embedder
        self._method = method
        self._offers = offers
        self._loaded = loaded

    def __call__(self, project: Project, rows: Sequence[LabelledSample]) -> Choice:
        """Milliseconds where nothing is to be tried, else about TRIED_S of passes, and the fits.

        Where the language wants another one, what it takes to load the candidates, and to try each on TRIED_ROWS.
        """
        if not rows or not (project.backbone_open or project.modality == "text"):
            return Choice(project)
        offers = self._offers(project.modality)
        languages = offers.installed.get(project.backbone, ())
        told = project.modality == "text" and (languages or project.backbone_open)
        shares = languages_of([row.content for row in rows]) if told else {}
        if foreign(shares, languages):
            return self._of_language(project, offers, shares)
        if not project.backbone_open:
            return Choice(project)
        return self._measured(project, rows, self._rivals(project, offers, shares))

    def ahead(self, project: Project) -> tuple[str, ...]:
        if not project.backbone_open:
            return ()
        rivals = self._rivals(project, self._offers(project.modality), {}).loaded
        if not rivals:
            return ()
        return (
            f"the backbone is open: {project.backbone}, unless {' or '.join(rivals)} tells the labels apart better, "
            f"which an adaptation to {FEWEST_ROWS} samples or more tries",
        )

    def _of_language(self, project: Project, offers: Offers, shares: Shares) -> Choice:
        against = f"{project.backbone} was {told_foreign(shares, offers.installed[project.backbone])}"
        if not project.backbone_open:
            return Choice(project, (f"{against}; POST /v1/backbones/recommend tells what suits them",))
        suited = [name for name, known in offers.installed.items() if known and not foreign(shares, known)]
        name, why = self._best(project, suited)
        if name is None:
            return Choice(self._settled(project, project.backbone), (f"{against}; {_lacking(offers, shares)}",))
        return Choice(self._settled(project, name), (f"{name} instead of the default, for {against}; {why}",))

    def _measured(self, project: Project, rows: Sequence[LabelledSample], rivals: _Rivals) -> Choice:
        """The default, or the one that is shown to be better."""
        default, usable = project.backbone, drawn(rows, MOST_ROWS)
        enough = len(usable) >= FEWEST_ROWS and len({row.label for row in usable}) > 1
        if not rivals.loaded:
            reasons = (f"{default}, the default; {rivals.untried}",) if rivals.others and enough else ()
            return Choice(self._settled(project, default), reasons)
        if not enough:
            told = f"{default}, the default; {' and '.join(rivals.loaded)} are tried beside it"
            return Choice(project, (f"{told} from {FEWEST_ROWS} samples on of labels that have {MIN_PER_LABEL}",))
        trials = try_backbones(
            [default, *rivals.loaded],
            project,
            self._samples,
            self._embedder,
            self._method,
            patience=Patience(FEWEST_ROWS, TRIED_S),
            features=self._features,
        )
        taken = next(trial for trial in trials if trial.backbone == default).worse_than or default
        verdict = f"better than {default} beyond chance" if taken != default else "no other is better beyond chance"
        told = f"{taken}, {verdict}; tried: {', '.join(_told(trial) for trial in trials)}"
        return Choice(self._settled(project, taken), (f"{told}; {rivals.untried}" if rivals.others else told,))

    def _rivals(self, project: Project, offers: Offers, shares: Shares) -> _Rivals:
        """Of a project whose samples may have several labels there are none: nothing is tried there."""
        names = [
            name
            for name, known in offers.installed.items()
            if project.task == "single_label" and name != project.backbone and not foreign(shares, known)
        ]
        loaded = tuple(name for name in names if self._loaded(name))
        return _Rivals(loaded, tuple(name for name in names if name not in loaded))

    def _settled(self, project: Project, backbone: str) -> Project:
        if not project.backbone_open:
            return project
        if backbone != project.backbone:
            log.info("project %s gets %s", project.id, backbone)
        return self._projects.settle(project.id, backbone)

    def _best(self, project: Project, suited: Sequence[str]) -> tuple[str | None, str]:
        """None where none of them can be loaded."""
        usable = [name for name in suited if self._loads(name)]
        if len(usable) < 2:
            return (usable[0], "no other that is installed has read them") if usable else (None, "")
        try:
            trials = try_backbones(
                usable,
                project,
                self._samples,
                self._embedder,
                self._method,
                most_rows=TRIED_ROWS,
                features=self._features,
            )
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
