"""Which backbone to take: by what each states, or tried on a project's own samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from adapters.head import HeadMethod
from tsugiki.backbones.catalog import find
from tsugiki.data.languages import languages_of, told_shares
from tsugiki.errors import Unavailable
from tsugiki.jobs.choosing import foreign, told_foreign
from tsugiki.jobs.recommending import Trial, try_backbones

if TYPE_CHECKING:
    from service.core import Core
    from tsugiki.domain import Modality, Project


@dataclass(frozen=True, slots=True)
class _Candidate:
    name: str
    knows: bool  # the language that was asked for, or none was
    foreign: str | None  # what it was trained on, where the project's samples are in other languages
    usual: bool  # what `auto` means where nothing else is known
    described: dict[str, Any]


def described(core: Core, name: str) -> dict[str, Any]:
    """The `backbone` object. Raises Unavailable where it is not installed."""
    source = find(name, core.settings.backbones)
    served = core.backbones.ready(name)
    space = served.backbone.space if served is not None else None
    return {
        "object": "backbone",
        "name": name,
        "modality": source.modality,
        "languages": list(source.languages),
        "dim": source.dim,
        "feature_dim": source.feature_dim,
        "licence": source.licence,
        "max_tokens": source.max_tokens,
        "sha256": space.backbone_sha256 if space is not None else source.expected_sha256,
        "feature_space": space.id if space is not None else None,
        "loaded": served is not None,
    }


def recommended(
    core: Core, modality: Modality, language: str | None, project: Project | None = None
) -> list[dict[str, Any]]:
    """The installed ones of the modality, best first, each with `reasons` and whether it `fits`. Raises Invalid.

    Those that have not read the language come last, be it the one asked for or the one a project's samples are in.
    `language` is a BCP 47 tag, of which the first part counts: `ja-JP` is Japanese.
    """
    if language is not None:
        language = language.partition("-")[0].lower()
    shares = _shares(core, modality, language, project)
    found = [_candidate(core, name, modality, language, shares) for name in core.offered]
    candidates = [one for one in found if one is not None]
    if project is not None and candidates:
        strange = frozenset(one.name for one in candidates if not one.knows or one.foreign)
        names = [candidate.name for candidate in candidates]
        trials = try_backbones(names, project, core.samples, core.backbones, HeadMethod(), foreign=strange)
        by_name = {candidate.name: candidate for candidate in candidates}
        seen = [f"of the samples {told_shares(shares)}"] if shares and language is None else []
        return [_tried(by_name[trial.backbone], trial, language, seen) for trial in trials]
    candidates.sort(key=lambda candidate: (not candidate.knows, not candidate.usual))
    return [{**one.described, "fits": one.knows, "reasons": [_stated(one, language)]} for one in candidates]


def _shares(core: Core, modality: Modality, language: str | None, project: Project | None) -> dict[str, float]:
    """Of languages in the project's samples, where none was told."""
    if project is None or modality != "text" or language is not None:
        return {}
    return languages_of([row.content for row in core.samples.labelled(project.id)])


def _candidate(
    core: Core, name: str, modality: Modality, language: str | None, shares: dict[str, float]
) -> _Candidate | None:
    """None for what is of another modality, or not installed."""
    try:
        found = described(core, name)
    except Unavailable:
        return None
    if found["modality"] != modality:
        return None
    knows = language is None or language in found["languages"] or modality != "text"
    strange = told_foreign(shares, found["languages"]) if foreign(shares, found["languages"]) else None
    return _Candidate(name, knows, strange, name == core.settings.default_backbone(modality), found)


def _stated(candidate: _Candidate, language: str | None) -> str:
    if language is None:
        return "no language was asked for" if candidate.described["modality"] == "text" else "it is of the modality"
    return "its language is stated" if candidate.knows else f"it does not state {language!r}"


def _tried(candidate: _Candidate, trial: Trial, language: str | None, seen: list[str]) -> dict[str, Any]:
    """`fits` is what has read the language, and is not shown to be worse than the best one."""
    reasons = [_stated(candidate, language)] if language is not None else seen
    if candidate.foreign is not None:
        reasons = [f"{candidate.foreign}: not recommended"]
    if trial.why_not is not None:
        return {**candidate.described, "fits": False, "reasons": [*reasons, f"not tried: {trial.why_not}"]}
    low, high = trial.ci95
    told = f"a head on it is right on {100 * trial.accuracy:.1f} % of {trial.rows} samples held out"
    reasons = [*reasons, f"{told} ({100 * low:.1f} to {100 * high:.1f})", f"{trial.ms:g} ms an input, one at a time"]
    if trial.worse_than is not None:
        reasons.append(f"worse than {trial.worse_than}, beyond chance: not recommended")
    score = {"value": trial.accuracy, "ci95": list(trial.ci95), "rows": trial.rows}
    return {
        **candidate.described,
        "fits": trial.worse_than is None and candidate.knows and candidate.foreign is None,
        "reasons": reasons,
        "accuracy": score,
        "ms": trial.ms,
    }
