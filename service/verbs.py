"""The two verbs, once: the routes and BentoML's APIs answer through the same functions."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import bentoml
from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from service import replies
from service.auth import require
from service.core import Core
from service.edge import PROBLEM, invalid, while_connected
from service.errors import problem, retry_after, status_of
from service.following import followed
from service.intake import batch_reply, check_samples
from service.schemas import AdaptationIn, AdaptIn, PredictVerb
from service.strict_json import read_json
from tsugiki.domain import LIVE, MIN_LABELS, Adaptation, NewSample, Plan, Project, Scope
from tsugiki.errors import Conflict, Invalid, NotFound, TsugikiError
from tsugiki.jobs.deep_lane import DEEP
from tsugiki.jobs.profiling import named_labels
from tsugiki.runtime.directory import Selector
from tsugiki.runtime.predictor import INLINE_SCORES

if TYPE_CHECKING:
    from starlette.requests import Request

    from service.replies import PredictionList
    from tsugiki.ports import Truncate
    from tsugiki.runtime.predictor import Answered
    from tsugiki.storage.idempotency import Once
    from tsugiki.storage.tenants import Principal


ENDED = ("succeeded", "failed", "cancelled")
LOOK_EVERY_S = 0.1  # at a job of another process that a caller waits for
NAMES_WAIT_S = 10.0  # for a version that takes tens of milliseconds: as /adapt waits where nothing is said


@dataclass(frozen=True, slots=True)
class BentoVerb:
    model: type[BaseModel]
    scope: Scope


BENTO_VERBS = {"/bento/adapt": BentoVerb(AdaptIn, "adapt"), "/bento/predict": BentoVerb(PredictVerb, "predict")}


async def adapt(core: Core, principal: Principal, wish: AdaptIn, once: Once | None) -> dict[str, Any]:
    """Samples in, classifier out. Nothing is stored unless the adaptation can run with them. Raises Invalid."""
    async with core.shares.of(principal.tenant.id):
        taken = await asyncio.to_thread(_take_samples, core, principal, wish)
    request = AdaptationIn(method=wish.method, wait_seconds=wish.wait_seconds)
    adaptation = await adapting(core, taken.project, request, taken.plan, once)
    project = taken.project
    if project.backbone_open:
        project = await asyncio.to_thread(core.projects.owned, project.id)  # as the samples have settled it
    return {
        "project": replies.project(project),
        "samples": taken.batch,
        "adaptation": await asyncio.to_thread(followed, core, adaptation),
    }


async def adapting(core: Core, project: Project, wish: AdaptationIn, plan: Plan, once: Once | None) -> Adaptation:
    """Queue an adaptation where the plan wants it, and wait as long as the caller wishes. Raises Overloaded."""
    if plan.chosen not in DEEP:
        core.fast_lane.admit(project.tenant_id)
        return await _adapted(core, project, wish, plan, once)
    await asyncio.to_thread(core.deep_lane.admit, project.tenant_id)
    request, planned = request_of(wish), asdict(plan)
    adaptation = await asyncio.to_thread(
        core.adaptations.create, project.id, request, once, for_trainer=True, plan=planned
    )
    ended = await _ended(core, project.tenant_id, adaptation.id, wish.wait_seconds)
    core.directory.forget(project.id)  # who was told of a version is answered by it: no later news is waited for
    return ended


async def _adapted(
    core: Core, project: Project, wish: AdaptationIn, plan: Plan | None, once: Once | None
) -> Adaptation:
    """By the fast lane, which has admitted it."""
    request, planned = request_of(wish), None if plan is None else asdict(plan)
    adaptation = await asyncio.to_thread(core.adaptations.create, project.id, request, once, plan=planned)
    if adaptation.status == "queued" and adaptation.attempts == 0:
        done = asyncio.wrap_future(core.fast_lane.submit(project, adaptation))
        await asyncio.wait([done], timeout=wish.wait_seconds)
    return await asyncio.to_thread(core.adaptations.get, project.tenant_id, adaptation.id)


async def _ended(core: Core, tenant_id: str, adaptation_id: str, within_s: float) -> Adaptation:
    """The adaptation once another process has ended it, or as it is after so long."""
    until = asyncio.get_running_loop().time() + within_s
    while True:
        found = await asyncio.to_thread(core.adaptations.get, tenant_id, adaptation_id)
        if found.status in ENDED or asyncio.get_running_loop().time() >= until:
            return found
        await asyncio.sleep(LOOK_EVERY_S)


async def answer_by_names(core: Core, project: Project) -> None:
    """Make a version of what the labels are called and let it go live, unless what is live has learned from samples.

    Waits for it no longer than NAMES_WAIT_S: a backbone may still be loading. The caller has asked for admission before
    it changed the project.
    """
    if await asyncio.to_thread(_names_answer, core, project):
        wish = AdaptationIn(wait_seconds=NAMES_WAIT_S)
        await _adapted(core, project, wish, await asyncio.to_thread(_plan_by_names, core, project, wish), None)


def _names_answer(core: Core, project: Project) -> bool:
    """Whether the names of the labels are what answers: two or more, nothing better live, and not left to the user."""
    if project.policy.adapt != "auto" or len(named_labels(project)) < MIN_LABELS:
        return False
    alias = core.registry.alias(project.id, LIVE)
    return alias is None or core.registry.get(project.id, alias.version).method == "zero_shot"


def _plan_by_names(core: Core, project: Project, wish: AdaptationIn) -> Plan | None:
    """None where nothing can run: the project is changed all the same, and the adaptation tells why it failed."""
    counts = core.samples.counts(project.id)
    try:
        return core.fast_lane.plan(project.backbone, request_of(wish), counts, project.task, project)
    except Invalid:
        return None


def request_of(wish: AdaptationIn) -> dict[str, Any]:
    """The wish as it is kept with the job."""
    return wish.model_dump(include={"method", "budget", "hyperparameters", "promote"})


async def predict(
    core: Core,
    tenant_id: str,
    ref: str,
    selector: Selector,
    inputs: Sequence[object],
    truncate: Truncate,
    top_k: int,
) -> Answered:
    """Raises what the predictor raises; when no row at all is good, Invalid with each row's issues."""
    answered = await core.predictor.predict(tenant_id, ref, selector, inputs, truncate, top_k)
    failed = [row for row in answered.rows if isinstance(row, TsugikiError)]
    outcomes = [row.outcome for row in answered.rows if not isinstance(row, TsugikiError)]
    for outcome in set(outcomes):
        core.metrics.rows(outcome, outcomes.count(outcome))
    core.metrics.rows("error", len(failed))
    core.metrics.tokens(answered.tokens)
    if len(failed) == len(answered.rows):
        refused = [row for row in failed if isinstance(row, Invalid)]
        if len(refused) < len(failed):
            raise failed[0]
        issues = [issue for row in refused for issue in row.issues]
        raise Invalid(
            f"no input could be read: {issues[0].detail}", code=issues[0].code, fix=issues[0].fix, issues=issues
        )
    return answered


def timings_of(answered: Answered) -> dict[str, float]:
    """Seconds by name, as the reply's Server-Timing tells them; `load` where the version was not in memory."""
    return {"engine": answered.engine_s} | ({"load": answered.load_s} if answered.load_s else {})


async def predictions_reply(request: Request, answered: Answered, top_k: int) -> PredictionList:
    """The reply's object, built in a thread where it is long."""
    told = partial(replies.predictions, answered, top_k, request.scope["path"], request.state.request_id)
    return told() if len(answered.rows) * top_k <= INLINE_SCORES else await asyncio.to_thread(told)


def check_bento_body(principal: Principal, path: str, body: bytes) -> None:
    """Raises Forbidden, and Invalid for all that BentoML would refuse by itself: it would log what it was given."""
    verb = BENTO_VERBS[path]
    require(principal, verb.scope)
    try:
        verb.model.model_validate(read_json(body))
        from_json(body)  # as BentoML reads it: less deep than we do, and no lone surrogate anywhere
    except ValidationError as error:
        raise invalid(list(error.errors(include_url=False, include_input=False)), 0) from None
    except ValueError as error:
        detail = f"the body is not JSON that BentoML reads: {error}"
        raise Invalid(detail, code="json_invalid", fix="mend it there, or use /adapt and /predict") from None


async def adapt_verb(core: Core, ctx: bentoml.Context, body: Mapping[str, Any]) -> dict[str, Any]:
    """`adapt` for a BentoML API: errors become problems in its reply."""

    async def run(principal: Principal) -> dict[str, Any]:
        state = ctx.request.state
        reply = await adapt(core, principal, AdaptIn.model_validate(body), getattr(state, "once", None))
        state.project_id = reply["project"]["id"]
        return reply

    return await _answer(ctx, run)


async def predict_verb(core: Core, ctx: bentoml.Context, body: Mapping[str, Any]) -> dict[str, Any]:
    """`predict` for a BentoML API."""

    async def run(principal: Principal) -> dict[str, Any]:
        timings: dict[str, float] = {}
        ctx.request.state.timings = timings
        wish = PredictVerb.model_validate(body)
        selector = Selector(wish.alias, wish.version)
        work = predict(core, principal.tenant.id, wish.project, selector, wish.inputs, wish.truncate, wish.top_k)
        answered = await while_connected(ctx.request, work)
        timings |= timings_of(answered)
        return dict(await predictions_reply(ctx.request, answered, wish.top_k))

    return await _answer(ctx, run)


async def _answer(ctx: bentoml.Context, run: Any) -> dict[str, Any]:  # Any: an async function of the principal
    state = ctx.request.state
    try:
        try:
            return await run(state.principal)
        except ValidationError as error:
            raise invalid(list(error.errors(include_url=False, include_input=False)), 0) from None
    except TsugikiError as error:
        state.refused = error.reason
        ctx.response.status_code = status_of(error)
        ctx.response.headers.update({"content-type": PROBLEM, **retry_after(error)})
        return problem(error, instance=ctx.request.url.path, request_id=state.request_id)


class _Taken(NamedTuple):
    project: Project
    batch: dict[str, Any]
    plan: Plan


def _take_samples(core: Core, principal: Principal, wish: AdaptIn) -> _Taken:
    """Check everything first, then store: the project if it is new, and the samples."""
    core.fast_lane.admit(principal.tenant.id)
    project = _found(core, principal, wish.project)
    task, modality = (wish.task, wish.modality) if project is None else (project.task, project.modality)
    backbone = core.backbone_for(modality, "auto") if project is None else project.backbone
    checked = check_samples(wish.samples, task, modality, core.decoder, label_required=True)
    if wish.samples and not checked.good:
        raise checked.refusal()
    new = _fresh(core, project, checked.good)
    counts = Counter(core.samples.counts(project.id) if project is not None else ())
    counts.update(sample.label for sample in new if sample.label is not None)
    plan = core.fast_lane.plan(backbone, request_of(AdaptationIn(method=wish.method)), counts, task, project)
    core.tenants.require_room(principal.tenant.id, projects=int(project is None), samples=new)
    if project is None:
        project = _made(core, principal, wish, backbone)
    stored = core.samples.add(project.id, checked.good)
    return _Taken(project, batch_reply(core, checked, stored, project), plan)


def _found(core: Core, principal: Principal, ref: str) -> Project | None:
    """The project, or None where it is to be made."""
    try:
        return core.projects.get(principal.tenant.id, ref)
    except NotFound:
        if ref.startswith("proj_"):
            raise
        return None


def _made(core: Core, principal: Principal, wish: AdaptIn, backbone: str) -> Project:
    try:
        return core.projects.create(
            principal.tenant.id, wish.project, wish.modality, wish.task, backbone, backbone_open=True
        )
    except Conflict:
        # Two first requests at once: the other one made it, and it may be of another kind than these samples.
        project = core.projects.get(principal.tenant.id, wish.project)
        if (project.modality, project.task) != (wish.modality, wish.task):
            raise
        return project


def _fresh(core: Core, project: Project | None, samples: Sequence[NewSample]) -> list[NewSample]:
    """Those that would be stored: no duplicates of what is there, nor of one another."""
    outcomes = core.samples.preview(None if project is None else project.id, samples)
    return [sample for sample, outcome in zip(samples, outcomes, strict=True) if outcome.status == "accepted"]
