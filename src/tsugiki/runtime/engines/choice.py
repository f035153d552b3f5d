"""Which engine serves a backbone: measured at the first start, refused if its features drift, kept for the next.

Where a library or the processor is another than when it was chosen, it is asked once more whether it drifts.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tsugiki.domain import EngineName, EngineWish
from tsugiki.errors import Unavailable
from tsugiki.observed import OURS
from tsugiki.runtime.engines.probe import MIN_COSINE, min_cosine

if TYPE_CHECKING:
    from tsugiki.domain import Floats, InputRow
    from tsugiki.ports import Engine

log = logging.getLogger(__name__)

MEASURED_S = 0.5  # per engine, after one pass to warm it up
FASTER = 1.1  # than what was the fastest before it, or it is not worth features that are further from fp32's
FORMAT = 2
ANY = "set TSUGIKI_ENGINE=auto to take what there is"


@dataclass(frozen=True, slots=True)
class Candidate:
    """`why_not` is None where the engine can run here, `no_gain` where it may be worth measuring."""

    name: EngineName
    why_not: Callable[[], str | None]
    make: Callable[[], Engine]
    no_gain: Callable[[], str | None] = lambda: None


@dataclass(frozen=True, slots=True)
class Trial:
    """One engine on the probe rows, one pass at a time. `refused` says why it may not serve, or could not run.

    `rows_per_s` is 0 where only drift was asked for.
    """

    name: EngineName
    precision: str = ""
    rows_per_s: float = 0.0
    min_cosine: float = 0.0
    refused: str | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    name: EngineName
    trials: tuple[Trial, ...] = ()


def choose(
    wanted: EngineWish,
    candidates: Sequence[Candidate],
    probe: Sequence[InputRow],
    kept_in: Path,
    under: Mapping[str, str],
) -> Choice:
    """The engine asked for, or by "auto" the fastest that does not drift; the first candidate is the reference, and
    those that round more come later.

    What "auto" found is kept in a file: a feature space must not change because a start was noisy. It is found anew
    when the kept engine cannot run here any more, or drifts where `under`, what it runs on, is not what it was.
    Raises Unavailable if an engine asked for by name cannot run here.
    """
    if wanted != "auto":
        (candidate,) = (candidate for candidate in candidates if candidate.name == wanted)
        if (reason := candidate.why_not()) is not None:
            raise Unavailable(f"engine {wanted} was asked for: {reason}", code="engine_unavailable", fix=ANY)
        return Choice(wanted)
    kept, then = _read(kept_in)
    choice = None
    for candidate in candidates:
        if candidate.name == kept and candidate.why_not() is None:
            if then == under:
                return Choice(candidate.name)
            choice = _unless_it_drifts(candidate, candidates[0], probe)
    choice = choice or _measured(candidates, probe)
    _write(kept_in, choice, under)
    return choice


def _unless_it_drifts(kept: Candidate, reference: Candidate, probe: Sequence[InputRow]) -> Choice | None:
    if kept is reference:
        return Choice(kept.name)
    try:
        trial = _trial(kept.make(), probe, reference.make().run(probe))
    except Exception as error:  # nor must one that was kept keep the others from serving
        trial = _failed(kept, error)
    if trial.refused is not None:
        log.warning("engine %s served before: %s; all are measured anew", kept.name, trial.refused)
        return None
    return _told(Choice(kept.name, (trial,)))


def _measured(candidates: Sequence[Candidate], probe: Sequence[InputRow]) -> Choice:
    reasons = [(candidate, candidate.why_not() or candidate.no_gain()) for candidate in candidates]
    present = [candidate for candidate, reason in reasons if reason is None]
    skipped = tuple(Trial(candidate.name, refused=reason) for candidate, reason in reasons if reason is not None)
    if len(present) == 1:
        return _told(Choice(present[0].name, skipped))
    serving = present[0].make()
    reference = serving.run(probe)
    trials = [_trial(serving, probe, reference, *_paces(probe, serving))]
    chosen = serving.name
    for candidate in present[1:]:
        try:
            engine = candidate.make()
            before, pace = _paces(probe, serving, engine)
            trials.append(_trial(engine, probe, reference, pace))
        except Exception as error:  # an engine that cannot even be tried must not keep the others from serving
            trials.append(_failed(candidate, error))
            continue
        if trials[-1].refused is None and pace > FASTER * before:
            chosen, serving = engine.name, engine
    return _told(Choice(chosen, (*trials, *skipped)))


def _paces(probe: Sequence[InputRow], *engines: Engine) -> list[float]:
    """Rows a second of each one's fastest pass. They take turns, and the fastest counts, as what else the machine does
    comes and goes within the time that is measured.
    """
    fastest = [float("inf")] * len(engines)
    for engine in engines:
        engine.run(probe)  # warm
    until = time.perf_counter() + MEASURED_S * len(engines)
    while time.perf_counter() < until:
        for place, engine in enumerate(engines):
            started = time.perf_counter()
            engine.run(probe)
            fastest[place] = min(fastest[place], time.perf_counter() - started)
    return [len(probe) / seconds for seconds in fastest]


def _failed(candidate: Candidate, error: Exception) -> Trial:
    log.warning("engine %s could not be tried", candidate.name, exc_info=error, extra=OURS)
    return Trial(candidate.name, refused=f"failed: {type(error).__name__}")


def _trial(engine: Engine, probe: Sequence[InputRow], reference: Floats, rows_per_s: float = 0.0) -> Trial:
    cosine = min_cosine(engine.run(probe), reference)
    drifts = None if cosine >= MIN_COSINE else f"its features drift: cosine {cosine:.4f}, at least {MIN_COSINE} wanted"
    return Trial(engine.name, engine.precision, round(rows_per_s, 1), round(cosine, 6), drifts)


def _told(choice: Choice) -> Choice:
    for trial in choice.trials:
        pace = f"{trial.rows_per_s:g} rows/s one pass at a time, " if trial.rows_per_s else ""
        why = trial.refused or f"{pace}cosine {trial.min_cosine:g} to fp32"
        log.info("engine %s: %s%s", trial.name, why, " <- serves" if trial.name == choice.name else "")
    return choice


def _read(path: Path) -> tuple[str | None, Mapping[str, str] | None]:
    """The name of what was chosen, and what it ran on."""
    if not path.is_file():
        return None, None
    try:
        kept: Mapping[str, Any] = json.loads(path.read_text())  # Any: of this module's own writing
    except ValueError:
        log.warning("%s is not what was written there; engines are measured anew", path)
        return None, None
    return (kept["engine"], kept["under"]) if kept.get("format") == FORMAT else (None, None)


def _write(path: Path, choice: Choice, under: Mapping[str, str]) -> None:
    part = path.with_suffix(".part")
    trials = [asdict(trial) for trial in choice.trials]
    content = {"format": FORMAT, "engine": choice.name, "under": under, "trials": trials}
    part.write_text(json.dumps(content, indent=1) + "\n")
    part.replace(path)
