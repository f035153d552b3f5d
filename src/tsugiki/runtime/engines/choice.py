"""Which engine serves a backbone: measured at the first start, refused if its features drift, kept for the next."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

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
FORMAT = 1
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
    """One engine on the probe rows, one pass at a time. `refused` says why it may not serve, or could not run."""

    name: EngineName
    precision: str = ""
    rows_per_s: float = 0.0
    min_cosine: float = 0.0
    refused: str | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    name: EngineName
    trials: tuple[Trial, ...] = ()


def choose(wanted: EngineWish, candidates: Sequence[Candidate], probe: Sequence[InputRow], kept_in: Path) -> Choice:
    """The engine asked for, or by "auto" the fastest that does not drift; the first candidate is the reference, and
    those that round more come later.

    What "auto" found is kept in a file: a feature space must not change because a start was noisy. It is found anew
    when the kept engine cannot run here any more. Raises Unavailable if an engine asked for by name cannot run here.
    """
    by_name = {candidate.name: candidate for candidate in candidates}
    if wanted != "auto":
        if (reason := by_name[wanted].why_not()) is not None:
            raise Unavailable(f"engine {wanted} was asked for: {reason}", code="engine_unavailable", fix=ANY)
        return Choice(wanted)
    kept = _read(kept_in)
    for candidate in candidates:
        if candidate.name == kept and candidate.why_not() is None:
            return Choice(candidate.name)
    choice = _measured(candidates, probe)
    _write(kept_in, choice)
    return choice


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
            log.warning("engine %s could not be tried", candidate.name, exc_info=error, extra=OURS)
            trials.append(Trial(candidate.name, refused=f"failed: {type(error).__name__}"))
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


def _trial(engine: Engine, probe: Sequence[InputRow], reference: Floats, rows_per_s: float) -> Trial:
    cosine = min_cosine(engine.run(probe), reference)
    drifts = None if cosine >= MIN_COSINE else f"its features drift: cosine {cosine:.4f}, at least {MIN_COSINE} wanted"
    return Trial(engine.name, engine.precision, round(rows_per_s, 1), round(cosine, 6), drifts)


def _told(choice: Choice) -> Choice:
    for trial in choice.trials:
        why = trial.refused or f"{trial.rows_per_s:g} rows/s one pass at a time, cosine {trial.min_cosine:g} to fp32"
        log.info("engine %s: %s%s", trial.name, why, " <- serves" if trial.name == choice.name else "")
    return choice


def _read(path: Path) -> str | None:
    if not path.is_file():
        return None
    try:
        kept: Mapping[str, object] = json.loads(path.read_text())
    except ValueError:
        log.warning("%s is not what was written there; engines are measured anew", path)
        return None
    name = kept.get("engine")
    return name if kept.get("format") == FORMAT and isinstance(name, str) else None


def _write(path: Path, choice: Choice) -> None:
    part = path.with_suffix(".part")
    content = {"format": FORMAT, "engine": choice.name, "trials": [asdict(trial) for trial in choice.trials]}
    part.write_text(json.dumps(content, indent=1) + "\n")
    part.replace(path)
