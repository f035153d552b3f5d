"""The audit phase of an adaptation: what it reads, how it reports, and what the project's policy sets aside."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tsugiki.data.audit import Lengths, Material, audit, search
from tsugiki.domain import MIN_PER_LABEL
from tsugiki.errors import Issue
from tsugiki.storage.fixes import Aside

if TYPE_CHECKING:
    from tsugiki.data.audit import Neighbours
    from tsugiki.domain import Fitted, Floats, Json, Project, Snapshot
    from tsugiki.jobs.progress import JobProgress
    from tsugiki.ports import Backbone
    from tsugiki.storage.samples import LabelledSample, Samples

LENGTH_ROWS = 1_000  # tokenised between two looks at whether to stop: some 40 ms
QUARANTINE_PART = 0.2  # of a label's samples at most, the surest first: a policy must not starve a label


def neighbours(features: Floats, progress: JobProgress) -> Neighbours:
    """The dear part of the audit, before the folds: near-duplicates may not be separated by them."""
    return search(features, lambda done: progress.phase("audit", done))


def report(
    samples: Samples,
    rows: Sequence[LabelledSample],
    snapshot: Snapshot,
    near: Neighbours,
    backbone: Backbone,
    fitted: Fitted,
    progress: JobProgress,
) -> Json:
    """What is kept with the version's evaluation. `rows` are the snapshot's, in its order."""
    groups = [row.group for row in rows]
    lengths = _lengths(rows, backbone, progress)
    return audit(Material(snapshot, groups, near, lengths, fitted.held_out), samples.kept(snapshot.project_id))


def aside(project: Project, snapshot: Snapshot, found: Json) -> Aside | None:
    """What the policy says is not to be trained on from the next adaptation on."""
    if not project.policy.quarantine:
        return None
    sizes = np.bincount(np.array(snapshot.targets), minlength=len(snapshot.labels))
    room = {
        label: min(int(size * QUARANTINE_PART), int(size) - MIN_PER_LABEL)
        for label, size in zip(snapshot.labels, sizes, strict=True)
    }
    issues: dict[str, Issue] = {}
    labels: dict[str, str] = {}
    for finding in found["findings"]:
        sample, label = finding["sample"], finding["label"]
        if finding["code"] not in project.policy.quarantine or sample in issues or room[label] <= 0:
            continue
        room[label] -= 1
        evidence = tuple(finding["evidence"])
        issues[sample] = Issue(finding["code"], finding["pointer"], finding["detail"], finding["fix"], evidence)
        labels[sample] = label
    return Aside(issues, labels) if issues else None


def _lengths(rows: Sequence[LabelledSample], backbone: Backbone, progress: JobProgress) -> Lengths:
    special = len(backbone.prepare([""])[0].ids)
    tokens = np.zeros(len(rows), np.int64)
    truncated = np.zeros(len(rows), np.bool_)
    for start in range(0, len(rows), LENGTH_ROWS):
        progress.check()
        for place, prepared in enumerate(
            backbone.prepare([row.content for row in rows[start : start + LENGTH_ROWS]]), start
        ):
            tokens[place], truncated[place] = len(prepared.ids) - special, prepared.truncated
    return Lengths(tokens, truncated)
