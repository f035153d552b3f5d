"""The audit phase of an adaptation: what it reads, how it reports, and what the project's policy sets aside."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tsugiki.data.audit import Lengths, Material, Sets, audit, search
from tsugiki.domain import MIN_PER_LABEL, told_labels
from tsugiki.errors import Issue
from tsugiki.jobs.labelling import truth_of
from tsugiki.storage.fixes import Aside

if TYPE_CHECKING:
    from tsugiki.data.audit import Neighbours
    from tsugiki.domain import Fitted, Floats, Json, Project, Snapshot
    from tsugiki.jobs.progress import JobProgress
    from tsugiki.ports import Backbone
    from tsugiki.storage.samples import LabelledSample, Samples

LENGTH_ROWS = 1_000  # tokenised between two looks at whether to stop: some 40 ms
QUARANTINE_PART = 0.2  # of a label's samples at most, the surest first: a policy must not starve a label


def neighbours(features: Floats, project: Project, progress: JobProgress) -> Neighbours:
    """The dear part of the audit, before the folds: near-duplicates may not be separated by them."""
    return search(features, project.modality, lambda done: progress.phase("audit", done))


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
    texts = backbone.modality == "text"
    lengths = _lengths(rows, backbone, progress) if texts else None
    measures = () if texts else samples.measures(snapshot.project_id, snapshot.sample_ids)
    labels = fitted.graft.head.labels
    sets = None if snapshot.combinations is None else Sets(labels, truth_of(snapshot, labels))
    material = Material(snapshot, groups, near, lengths, fitted.held_out, measures, sets)
    return audit(material, samples.kept(snapshot.project_id))


def aside(project: Project, snapshot: Snapshot, found: Json) -> Aside | None:
    """What the policy says is not to be trained on from the next adaptation on."""
    if not project.policy.quarantine:
        return None
    told = snapshot.told
    sizes = Counter(label for one in told.values() for label in _counted(one))
    room = {label: min(int(size * QUARANTINE_PART), size - MIN_PER_LABEL) for label, size in sizes.items()}
    issues: dict[str, Issue] = {}
    labels: dict[str, str] = {}
    for finding in found["findings"]:
        sample = finding["sample"]
        if sample is None or finding["code"] not in project.policy.quarantine or sample in issues:
            continue
        counted = _counted(told[sample])
        if min(room[label] for label in counted) <= 0:
            continue
        for label in counted:
            room[label] -= 1
        evidence = tuple(finding["evidence"])
        issues[sample] = Issue(finding["code"], finding["pointer"], finding["detail"], finding["fix"], evidence)
        labels[sample] = told[sample]
    return Aside(issues, labels) if issues else None


def _counted(told: str) -> tuple[str, ...]:
    """The labels that a sample's leaving would starve; that it has none is one too."""
    return told_labels(told) or (told,)


def _lengths(rows: Sequence[LabelledSample], backbone: Backbone, progress: JobProgress) -> Lengths:
    special = backbone.prepare([""])[0].size
    tokens = np.zeros(len(rows), np.int64)
    truncated = np.zeros(len(rows), np.bool_)
    for start in range(0, len(rows), LENGTH_ROWS):
        progress.check()
        for place, prepared in enumerate(
            backbone.prepare([row.content for row in rows[start : start + LENGTH_ROWS]]), start
        ):
            tokens[place], truncated[place] = prepared.size - special, prepared.truncated
    return Lengths(tokens, truncated)
