"""Audits: what was found in a version's samples, and what somebody decided of it."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request

from service.edge import Annotating, Predicting, Reply, StrictRoute, answer_problem, documented
from service.errors import problem
from service.replies import AuditReply, FixBatchReply
from service.routes.versions import Number
from service.schemas import FixesIn, FixIn
from tsugiki.data.text import RowRefused, clean_told
from tsugiki.domain import ROW_FINDINGS, Fix, Json, Task, tell_labels
from tsugiki.errors import Invalid, Issue
from tsugiki.storage.fixes import Fixed, Standing

router = APIRouter(prefix="/v1/projects/{p}", route_class=StrictRoute, tags=["audits"])


@router.get("/versions/{v}/audit", responses=documented(AuditReply, 404))
def audit(by: Predicting, p: str, v: Number, code: Annotated[str | None, Query(max_length=64)] = None) -> Reply:
    """What was found in the snapshot's samples, with evidence, and where each finding stands now; `code` filters.

    Codes about samples: `duplicate_exact`, `duplicate_near`, `duplicate_across_folds`, `duplicate_conflicting_label`,
    `duplicate_near_conflicting_label`, `label_suspect`, `outlier`, of texts `input_too_short`, `input_truncated`, of
    pictures `image_dark`, `image_blurred`, `image_small`, of sounds `audio_clipped`, `audio_quiet`, `audio_odd_length`;
    about labels: `label_rare`, `label_thin`. An audit changes nothing, but where the project's `policy.quarantine`
    names a code: samples found so are set aside with the version's publication (a fifth of a label's at most, the
    surest first), and trained on again once they are relabelled or kept.
    """
    project = by.project(p)
    version = by.core.registry.get(project.id, v)
    stored: Json = by.core.registry.evaluation(version)["audit"]
    wanted = [finding for finding in stored["findings"] if code in (None, finding["code"])]
    named = {finding["sample"] for finding in wanted if finding["sample"] is not None}
    standings = by.core.samples.standings(project.id, sorted(named))
    found = {key: stored[key] for key in ("samples", "held_out", "neighbours", "summary")}
    data = [finding | {"state": _state(finding, standings)} for finding in wanted]
    return Reply({"object": "audit", "version": version.number, **found, "data": data})


@router.post("/audit/fixes", responses=documented(FixBatchReply, 404, 409, 413, 415, 507))
def fix(by: Annotating, p: str, wish: FixesIn, request: Request) -> Any:  # a Reply or a problem
    """Relabel, drop or keep samples, each wholly or not at all; to say a thing twice changes nothing.

    `relabel` needs `label`; `drop` deletes; `keep` says that a sample is right as it is, for `codes` or for all: it is
    not reported again while its label stays, and leaves quarantine. With `expected_label` a row is rejected
    (`label_changed`) where the sample has another label by now. A rejected row changes nothing, and the others are
    applied; 422, with the same rows, where every one is rejected.
    """
    project = by.project(p)
    rows = [_checked(index, row, project.task) for index, row in enumerate(wish.fixes)]
    good = [row for row in rows if isinstance(row, Fix)]
    outcomes = iter(by.core.samples.fix(project.id, good, by.principal.key.id) if good else [])
    if any(row.action == "drop" for row in good) and not by.core.samples.forget():
        by.core.upkeep.wake()
    fixed = [next(outcomes) if isinstance(row, Fix) else Fixed("rejected", row) for row in rows]
    counts = Counter(one.status for one in fixed)
    reply = {
        "object": "fix.batch",
        **{status: counts[status] for status in ("applied", "unchanged", "rejected")},
        "data": [_row(request, index, *pair) for index, pair in enumerate(zip(wish.fixes, fixed, strict=True))],
    }
    if counts["rejected"] < len(fixed):
        return Reply(reply)
    errors = [one.error for one in fixed if one.error is not None]
    refused = Invalid(f"no fix was applied: {errors[0].detail}", code=errors[0].reason, fix=errors[0].fix)
    return answer_problem(request, refused, reply)


def _checked(index: int, row: FixIn, task: Task) -> Fix | Invalid:
    pointer = f"/fixes/{index}"
    told = row.label is not None or row.labels is not None
    if told != (row.action == "relabel"):
        detail = f"{row.action} takes no label" if told else "relabel needs a label"
        issue = Issue("label_unexpected" if told else "label_missing", f"{pointer}/label", detail)
        return Invalid(detail, code=issue.code, fix="send label with relabel, and only there", issues=[issue])
    try:
        label = clean_told(row.label, row.labels, pointer, task)
        expected = clean_told(row.expected_label, row.expected_labels, pointer, task, "expected_label")
    except RowRefused as refused:
        return refused
    codes = ROW_FINDINGS if row.codes is None else tuple(row.codes)
    return Fix(row.sample, row.action, label, expected, codes)


def _row(request: Request, index: int, asked: FixIn, fixed: Fixed) -> Json:
    told: Json = {"index": index, "sample": asked.sample, "action": asked.action, "status": fixed.status}
    if fixed.error is None:
        return told
    return told | {"error": problem(fixed.error, instance=request.url.path, request_id=request.state.request_id)}


def _state(finding: Json, standings: dict[str, Standing]) -> str | None:
    """Where a finding about a sample stands; one about a label stands with the samples, and has none."""
    if finding["sample"] is None:
        return None
    standing = standings.get(finding["sample"])
    if standing is None:
        return "dropped"
    if standing.label != (tell_labels(finding["labels"]) if "labels" in finding else finding["label"]):
        return "relabelled"
    if finding["code"] in standing.kept:
        return "kept"
    return "quarantined" if standing.quarantined else "open"
