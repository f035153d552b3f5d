"""Which method adapts a project, and why. Pure: sizes and measures in, plan out; loads nothing.

By "auto" it is progressive: what fits into a request goes first, and what may pay afterwards is named as next, once
the head's own held-out answers tell how much is left to gain.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal, NamedTuple

from adapters.expectation import DEEPER, FEWEST_SHOWN, WORTH, Gain, Sufficient, cheapest, gain, sufficient
from tsugiki.domain import (
    MAX_LABELS,
    MAX_SAMPLES,
    MIN_LABELS,
    MIN_PER_LABEL,
    Budget,
    Closeness,
    MethodName,
    Plan,
    Profile,
    Verdict,
)
from tsugiki.errors import Invalid, Issue
from tsugiki.ports import Method
from tsugiki.training.hyperparameters import check, tuned
from tsugiki.training.objective import expected_objective

Wanted = MethodName | Literal["auto"]

FAST: tuple[MethodName, ...] = ("zero_shot", "head")  # within a request; the better one last
SEVERAL: tuple[MethodName, ...] = ("head", "lora")  # can learn more than one label a sample
TOLD: Mapping[MethodName, str] = {"lora": "LoRA", "partial": "training the top blocks", "full": "training all blocks"}
MOST_LACKING = 16  # samples of a label that a method may ask for beyond what is there
USUAL_DEEP_S = 3_600.0  # what a deeper method may take where no budget is given: nobody waits for it


def plan(
    methods: Sequence[Method],
    profile: Profile,
    budget: Budget,
    wanted: Wanted,
    hyperparameters: Mapping[str, object] | None = None,
) -> Plan:
    """The wanted method, or by "auto" the best of the fast ones that may run. Raises Invalid if none can.

    `methods` are from cheap to dear; the plan's candidates are all of them. `hyperparameters` are of the wanted one:
    Invalid `hyperparameter_invalid` where it has no such, or where it is not known which one will run.
    """
    given = hyperparameters or {}
    if wanted == "auto":
        check(given, {}, 'method "auto", which takes only what every method does,')
    meant = [tuned(method, given) if method.name == wanted else method for method in methods]
    verdicts = tuple(_expected(_assessed(method, profile, budget), profile) for method in meant)
    if wanted != "auto":
        chosen = _wanted(wanted, meant, verdicts, profile)
        return Plan(chosen.method, _reasons(chosen, "asked for", profile, budget), profile, verdicts)
    runnable = {v.method: v for v in verdicts if v.skipped is None}
    found = [runnable[name] for name in FAST if name in runnable]
    if not found:
        raise _nothing_runs(profile, verdicts)
    chosen = found[-1]
    onward = _next(chosen, verdicts, profile, budget)
    reasons = (*_reasons(chosen, _why(chosen, verdicts), profile, budget), *_more_samples(profile), *onward.reasons)
    return Plan(chosen.method, reasons, profile, verdicts, onward.method)


class Readiness(NamedTuple):
    """The method that "auto" would take now, and what the next one needs."""

    method_now: MethodName | None
    next_method: MethodName
    needs: str


def readiness(methods: Sequence[Method], profile: Profile) -> Readiness:
    verdicts = {method.name: _assessed(method, profile, Budget()) for method in methods}
    runnable: list[MethodName] = [name for name in FAST if name in verdicts and verdicts[name].skipped is None]
    now = runnable[-1] if runnable else None
    if now is None:
        if profile.task == "multi_label":
            return Readiness(None, "head", f"a label that {MIN_PER_LABEL} samples have and {MIN_PER_LABEL} have not")
        return Readiness(None, "head", f"at least {MIN_LABELS} labels with {MIN_PER_LABEL} samples each")
    if now == "zero_shot":
        return Readiness(now, "head", _needs_of_head(verdicts["head"], profile))
    deeper = _deeper([method.name for method in methods], profile)
    following, fewest = _may_pay(deeper, profile) or _sufficient(deeper, profile)
    if fewest is None:
        return Readiness(now, following, "nothing: the head leaves too little to gain")
    more = max(fewest - int(profile.median_per_label), 0)
    told = [f"≈{more} more per label"] if more else []
    method = next((method for method in methods if method.name == following), None)
    if method is not None and (refused := _assessed(method, _with_more(profile, more), Budget()).skipped):
        told.append(refused)
    return Readiness(now, following, "; ".join(told) or "nothing more")


def _with_more(profile: Profile, more: int) -> Profile:
    """So many samples of each label."""
    return replace(
        profile,
        samples=profile.samples + more * profile.labels,
        min_per_label=profile.min_per_label + more,
        max_per_label=profile.max_per_label + more,
        median_per_label=profile.median_per_label + more,
    )


def _needs_of_head(head: Verdict, profile: Profile) -> str:
    few = profile.labels - profile.samples
    return f"{few} more labelled samples, of as many labels" if few > 0 else head.skipped or "nothing more"


def _from_about(methods: Sequence[MethodName], profile: Profile) -> str:
    """`LoRA from about 40 samples per label`: what would let another method be tried."""
    method, fewest = _sufficient(methods, profile)
    if fewest is None:
        return f"{TOLD[method]}: the head leaves less to gain than {100 * WORTH:g} point, with however many samples"
    return f"{TOLD[method]} from about {fewest} samples per label"


class _Onward(NamedTuple):
    method: MethodName | None
    reasons: tuple[str, ...]


def _next(chosen: Verdict, verdicts: Sequence[Verdict], profile: Profile, budget: Budget) -> _Onward:
    """The cheapest deeper method of those that may pay about as much as the best, or why there is none."""
    deeper = [v for v in verdicts if v.method not in FAST]
    if chosen.method == "zero_shot":
        few = profile.samples < profile.labels  # else it was told already what else keeps the head out
        return _Onward(None, (f"next: the head, from {profile.labels} labelled samples on",) if few else ())
    names = _deeper([v.method for v in verdicts], profile)
    if not deeper:
        return _Onward(None, (f"no deeper method is installed; {_from_about(names, profile)}",))
    if profile.closeness is None:
        return _Onward(None, ("whether a deeper method may pay is told once the head was judged on held-out samples",))
    able = [v for v in deeper if v.method in names and _can_be_shown(v.method, profile)]
    gains = {v.method: _gain(profile.closeness, profile, v.method) for v in able}
    expected = max(gains.values(), default=Gain(0.0, 0.0, 0.0))
    if expected.expected < WORTH:
        why = f"no deeper method: {_points(expected)}, less than a point; {_from_about(names, profile)}"
        return _Onward(None, (why, *_by_name(deeper, profile)))
    allowed = USUAL_DEEP_S if budget.seconds is None else budget.seconds
    kept_out = {v.method: _kept_out(v, gains[v.method], allowed) for v in able}
    payable = [v for v in able if kept_out[v.method] is None]
    if not payable:
        why = "; ".join(f"{method}: {reason}" for method, reason in kept_out.items())
        return _Onward(None, (f"a deeper method may pay ({_points(expected)}), but none may run: {why}",))
    payable.sort(key=lambda v: v.seconds)
    expects: Mapping[MethodName, float] = {v.method: gains[v.method].expected for v in payable}
    following = cheapest([v.method for v in payable], expects)
    best = next(v for v in payable if v.method == following)
    cost = f"estimated at {best.seconds:.0f} s and {best.peak_bytes / 2**20:.0f} MiB"
    return _Onward(best.method, (f"next {best.method}: {_points(gains[best.method])}, {cost}; it must pass the gate",))


def _kept_out(verdict: Verdict, expected: Gain, allowed: float) -> str | None:
    """Why it does not follow, where another one may pay."""
    if verdict.skipped is not None:
        return verdict.skipped
    if verdict.seconds > allowed:
        return f"{verdict.seconds:.0f} s of the {allowed:g} s allowed"
    return None if expected.expected >= WORTH else _points(expected)


def _gain(near: Closeness, profile: Profile, method: MethodName) -> Gain:
    return gain(near, profile.median_per_label, method, profile.modality, expected_objective(profile))


def _can_be_shown(method: MethodName, profile: Profile) -> bool:
    """Whether what it gains can show on held-out samples, as the gate asks for."""
    return not (method == "lora" and expected_objective(profile) != "labels" and profile.samples < FEWEST_SHOWN)


def _deeper(names: Sequence[MethodName], profile: Profile) -> list[MethodName]:
    """Of these methods, those that may follow the head, from cheap to dear; all there are where none is installed."""
    able: list[MethodName] = [name for name in DEEPER if profile.task != "multi_label" or name in SEVERAL]
    return [name for name in able if name in names] or able


def _may_pay(methods: Sequence[MethodName], profile: Profile) -> Sufficient | None:
    """The one that would follow with the samples there are, as far as is known."""
    near = profile.closeness
    shown: list[MethodName] = [method for method in methods if _can_be_shown(method, profile)]
    gains: dict[MethodName, float] = {}
    if near is not None:
        gains = {method: _gain(near, profile, method).expected for method in shown}
    if max(gains.values(), default=0.0) < WORTH:
        return None
    return Sufficient(cheapest(shown, gains), 0)


def _sufficient(methods: Sequence[MethodName], profile: Profile) -> Sufficient:
    enough = replace(profile, samples=max(profile.samples, FEWEST_SHOWN))
    paired = profile.labels if expected_objective(enough) == "pairs" else None
    return sufficient(profile.closeness, methods, profile.modality, paired)


def _by_name(deeper: Sequence[Verdict], profile: Profile) -> tuple[str, ...]:
    """What no gate could show of so few samples, so that nothing follows by itself."""
    lora = next((v for v in deeper if v.method == "lora" and v.skipped is None), None)
    if lora is None or _can_be_shown("lora", profile):
        return ()
    return (
        f"lora learns so few texts beside one another, in some {lora.seconds:.0f} s; that did better on other sets, "
        "but so few held-out samples cannot show it: ask for it by name",
    )


def _assessed(method: Method, profile: Profile, budget: Budget) -> Verdict:
    verdict = method.assess(profile, budget)
    if profile.task == "multi_label" and method.name not in SEVERAL:
        why = f"several labels a sample are learnt by {' and '.join(SEVERAL)} only"
        return replace(verdict, skipped=why)
    return verdict


def _expected(verdict: Verdict, profile: Profile) -> Verdict:
    """With the accuracy that what is measured lets one expect; of zero-shot nothing is known."""
    near = profile.closeness
    if near is None or verdict.method == "zero_shot" or verdict.score is not None:
        return verdict
    if verdict.method == "head":
        return replace(verdict, score=near.accuracy, ci95=near.ci95)
    more = _gain(near, profile, verdict.method)
    interval = (near.ci95[0] + more.low, min(1.0, near.ci95[1] + more.high))
    return replace(verdict, score=near.accuracy + more.expected, ci95=interval)


def _wanted(wanted: MethodName, methods: Sequence[Method], verdicts: Sequence[Verdict], profile: Profile) -> Verdict:
    verdict = next((v for v in verdicts if v.method == wanted), None)
    if verdict is None:
        names = ", ".join(v.method for v in verdicts)
        raise Invalid(
            f"method {wanted!r} was asked for, expected one of: {names}",
            fix='ask for "auto", or a method of this list',
            code="method_unavailable",
        )
    if verdict.skipped is not None:
        method = next(method for method in methods if method.name == wanted)
        raise _nothing_runs(profile, [verdict], _lacking(method, profile))
    return verdict


def _lacking(method: Method, profile: Profile) -> int | None:
    """How many more samples of each label would let the method run; None where it is not samples that it lacks."""
    fits = (not _assessed(method, _with_more(profile, more), Budget()).skipped for more in range(MOST_LACKING + 1))
    return next((more for more, runs in enumerate(fits) if runs), 0) or None  # with none more, it lacks time


def _nothing_runs(profile: Profile, verdicts: Sequence[Verdict], lacking: int | None = None) -> Invalid:
    """The lack to be mended first, with what is there and what is needed; `lacking` are samples of each label."""
    issues = [Issue("method_unavailable", "", f"{v.method}: {v.skipped}") for v in verdicts]
    if profile.task == "multi_label" and profile.labels == 0:
        found = f"of {profile.left_out} labels none is on {MIN_PER_LABEL} samples and missing from {MIN_PER_LABEL}"
        found += f", need 1 such label; there are {profile.samples} samples"
        fix = "add samples with a label and samples without it (an empty list says none of them)"
        return Invalid(found, fix=fix, code="too_few_samples", issues=issues)
    if profile.task == "single_label" and profile.labels < MIN_LABELS:
        found = f"{profile.labels} labels with samples, need {MIN_LABELS}"
        return Invalid(found, fix="add samples of another label", code="too_few_labels", issues=issues)
    if profile.min_per_label < MIN_PER_LABEL:
        found = f"a label has {profile.min_per_label} samples, need {MIN_PER_LABEL} of each"
        fix = "add samples of the rarest labels, or declare them"
        return Invalid(found, fix=fix, code="too_few_samples", issues=issues)
    if profile.labels > MAX_LABELS:
        found = f"{profile.labels} labels, at most {MAX_LABELS}"
        return Invalid(found, fix="join labels, or split the project", code="too_many_labels", issues=issues)
    if profile.samples > MAX_SAMPLES:
        found = f"{profile.samples} samples, at most {MAX_SAMPLES}"
        return Invalid(found, fix="delete samples that add nothing", code="too_many_samples", issues=issues)
    found = "; ".join(issue.detail for issue in issues) or "no method is installed"
    if lacking is not None:
        fix = f"add {lacking} samples of each of the rarest labels, or ask for another method"
        return Invalid(found, fix=fix, code="too_few_samples", issues=issues)
    return Invalid(found, fix="raise the budget, or ask for another method", code="method_unavailable", issues=issues)


def _why(chosen: Verdict, verdicts: Sequence[Verdict]) -> str:
    skipped = "; ".join(f"{v.method} is not: {v.skipped}" for v in verdicts if v.skipped and v.method in FAST)
    why = "the best of the methods that answer within a request"
    return f"{why} ({skipped})" if skipped and chosen.method != FAST[-1] else why


def _reasons(chosen: Verdict, why: str, profile: Profile, budget: Budget) -> tuple[str, ...]:
    spread = f"{profile.min_per_label} to {profile.max_per_label} a label"
    cost = f"estimated at {chosen.seconds:.2g} s and {chosen.peak_bytes / 2**20:.0f} MiB"
    if budget.seconds is not None:
        over = " (over the budget: even its least effort takes longer)" if chosen.seconds > budget.seconds else ""
        cost += f", with a budget of {budget.seconds:g} s{over}"
    few = f"{profile.left_out} labels are left out: of each, fewer than {MIN_PER_LABEL} samples have it or have it not"
    left_out = (few,) if profile.left_out else ()
    sizes = f"{profile.samples} samples of {profile.labels} labels, {spread}"
    return (f"{chosen.method}: {why}", sizes, *left_out, cost)


def _more_samples(profile: Profile) -> tuple[str, ...]:
    near = profile.closeness
    if near is None:
        return ()
    low, high = near.ci95
    if near.doubling is None or near.doubling_ci95 is None:
        return (
            f"on frozen features held-out samples have a micro F1 of {near.accuracy:.3f} ({low:.3f} to {high:.3f})",
        )
    return (
        f"frozen features tell the labels apart in {100 * near.accuracy:.1f} % of held-out samples "
        f"({100 * low:.1f} to {100 * high:.1f})",
        f"the last doubling of the samples added {100 * near.doubling:.1f} points "
        f"({100 * near.doubling_ci95[0]:.1f} to {100 * near.doubling_ci95[1]:.1f})",
    )


def _points(expected: Gain) -> str:
    return f"{100 * expected.expected:.1f} points expected ({100 * expected.low:.1f} to {100 * expected.high:.1f})"
