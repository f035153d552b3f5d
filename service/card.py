"""A version's model card: what it is, how it came to be, what it is worth, where it ends.

The words of a tenant in it are the project's name and the labels alone: no sample, no metadata.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tsugiki.domain import Adaptation, Json, Project, Version

LEAST_KNOWN = 5  # labels named as such
KINDS = {
    "zero_shot": "the labels' own words beside the frozen backbone",
    "head": "a linear classifier on the features of the frozen backbone",
    "lora": "low-rank matrices within the backbone and a linear classifier on its features",
    "partial": "the backbone's upper blocks, trained further, and a linear classifier on its features",
    "full": "the whole backbone, trained further, and a linear classifier on its features",
}
INPUTS = {"text": "texts", "image": "files", "audio": "files"}
SET_MEASURES = {"micro_f1": "micro F1, of all decisions", "example_f1": "F1 of a sample's labels, mean"}
MARKUP = re.compile(r"([\\`*_\[\]<>|#])")


def card(project: Project, version: Version, report: Json, adaptation: Adaptation) -> str:
    """Markdown. `report` is the version's evaluation, `adaptation` the job that made it."""
    sections = (
        _title(project, version),
        _data(project, version, report),
        _method(version),
        _plan(adaptation.plan or {}),
        _worth(report),
        _gate(adaptation),
        _limits(project, report),
        _lineage(version),
    )
    return "\n".join(line for section in sections for line in (*section, ""))


def _title(project: Project, version: Version) -> Sequence[str]:
    return (
        f"# {project.name}, version {version.number}",
        "",
        f"A {project.modality} classifier with {len(version.labels)} labels ({project.task}), made",
        f"{version.created_at:%Y-%m-%d %H:%M} UTC.",
    )


def _data(project: Project, version: Version, report: Json) -> Sequence[str]:
    lines = [
        "## Data",
        f"{report['samples']} labelled samples (snapshot `{version.snapshot}`,",
        f"sha256 `{version.lineage['snapshot_digest']}`).",
    ]
    if supports := [row["support"] for row in report["per_class"]]:
        held = "Every sample was held out once" if report["held_out"] == report["samples"] else "A part was held out"
        lines.append(f"{held}, {report['held_out']} in all, {min(supports)} to {max(supports)} a label. ")
        lines.append(f"Equal {INPUTS[project.modality]} never stand on both sides of a split.")
    if (holdout := report["holdout"]) is not None:
        lines.append(f"{holdout['samples']} of them are the frozen holdout, the same for every version.")
    return lines


def _method(version: Version) -> Sequence[str]:
    details: Json = version.lineage["details"]
    chosen = [
        f"{name} {_figure(value)}" for name, value in details.items() if isinstance(value, (bool, int, float, str))
    ]
    return (
        "## Method",
        f"`{version.method}`: {KINDS[version.method]}.",
        f"Backbone `{version.backbone}`, feature space `{version.feature_space}`.",
        *([f"Chosen: {_plain(', '.join(chosen))}."] if chosen else []),
    )


def _plan(plan: Json) -> Sequence[str]:
    return (
        "## Plan",
        *(f"- {_plain(str(reason))}" for reason in plan.get("reasons", ())),
        "",
        "| candidate | seconds | peak MiB | not run because |",
        "|---|---|---|---|",
        *(_candidate(one) for one in plan.get("candidates", ())),
    )


def _worth(report: Json) -> Sequence[str]:
    if not report["held_out"]:
        return ("## Worth", f"{report['note'].capitalize()}.")
    worst = sorted(report["per_class"], key=lambda row: row["f1"])[:LEAST_KNOWN]
    holdout = report["holdout"]
    return (
        "## Worth",
        "Measured on samples that the judged fit had not seen; 95 % intervals in brackets.",
        "",
        "| | value | |",
        "|---|---|---|",
        _row("exactly the right labels" if "micro_f1" in report else "accuracy", report["accuracy"]),
        *(
            [_row("accuracy, frozen holdout", holdout["accuracy"])]
            if holdout is not None and holdout["held_out"]
            else []
        ),
        *(_row(name, report[key]) for key, name in SET_MEASURES.items() if key in report),
        _row("macro F1", report["macro_f1"]),
        _row("log loss", report["log_loss"]),
        _row("calibration error (ECE)", report["ece"]),
        _row("always the commonest answer", report["majority_baseline"]["accuracy"]),
        "",
        "The labels it knows least:",
        "",
        "| label | precision | recall | F1 | samples |",
        "|---|---|---|---|---|",
        *(_label_row(row) for row in worst),
        "",
        _slices(report["slices"]),
    )


def _slices(slices: Json) -> str:
    worst = slices["worst"]
    if not slices["compared"]:
        return "By metadata: no part of the samples was large enough to be compared with the rest."
    if worst is None:
        return f"By metadata: of {slices['compared']} parts of the samples none is answered worse than the rest."
    low, high = (100 * end for end in worst["difference"]["ci95"])
    verdict = "shown to be worse than the rest" if worst["shown"] else "which may be chance"
    return (
        f"By metadata: of {slices['compared']} parts of the samples the worst has {worst['rows']} of them and an "
        f"accuracy of {worst['accuracy']['value']:.3f}, {100 * worst['difference']['value']:+.1f} points beside the "
        f"rest [{low:+.1f}, {high:+.1f}], {verdict}; the evaluation names it."
    )


def _gate(adaptation: Adaptation) -> Sequence[str]:
    gate = adaptation.gate or {}
    outcome = "It went live" if gate.get("promoted") else "It did not go live by itself"
    return ("## Gate", f"{outcome}: {_plain(str(gate.get('reason', 'not asked')))}.")


def _limits(project: Project, report: Json) -> Sequence[str]:
    lines = [
        "## Limits",
        "It knows only its labels and the kind of input it was trained on; a score is a calibrated probability there,",
        "and nowhere else.",
    ]
    if left_out := report.get("left_out"):
        names = ", ".join(_plain(label) for label in left_out[:LEAST_KNOWN])
        lines.append(f"- {len(left_out)} labels had too few samples with or without them and are never given: {names}.")
    several = project.task == "multi_label"
    if several:
        lines.append("- A label is given from its own threshold on, and none may be.")
    if report["out_of_scope"] is not None:
        lost = 100 * report["out_of_scope"]["most_right_lost"]
        lines.append(
            f"- Inputs unlike every sample answer `out_of_scope`, at the cost of at most {lost:g} % of right answers; "
            "near misses of its labels are not told by it."
        )
    else:
        lines.append(
            "- Too few answers were held out to say which inputs are out of its scope: it answers all of them."
        )
    score = "score of all labels together" if several else "score"
    if (precision := project.policy.abstain_precision) is not None:
        lines.append(f"- It answers `abstain` where a precision of {precision:g} was not shown to be held.")
    for found in report["thresholds"]:
        if found["threshold"] is not None:
            lines.append(
                f"- A precision of {found['precision']:g} was shown from a {score} of {found['threshold']:.3f} on, "
                f"which {100 * found['coverage']:.0f} % of the held-out samples reach."
            )
    return lines


def _lineage(version: Version) -> Sequence[str]:
    return (
        "## Lineage",
        f"Adaptation `{version.lineage['adaptation']}`, parent version {version.lineage['parent'] or 'none'},",
        f"graft sha256 `{version.digest}`.",
    )


def _row(name: str, figure: Json) -> str:
    low, high = figure["ci95"]
    return f"| {name} | {figure['value']:.3f} | [{low:.3f}, {high:.3f}] |"


def _label_row(row: Json) -> str:
    figures = " | ".join(f"{row[key]:.2f}" for key in ("precision", "recall", "f1"))
    return f"| {_plain(row['label'])} | {figures} | {row['support']} |"


def _candidate(verdict: Json) -> str:
    skipped = _plain(str(verdict["skipped"] or ""))
    return f"| {verdict['method']} | {verdict['seconds']:.1f} | {verdict['peak_bytes'] / 2**20:.0f} | {skipped} |"


def _figure(value: bool | int | float | str) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _plain(text: str) -> str:
    """Text that is no markup, on one line."""
    return MARKUP.sub(r"\\\1", " ".join(text.split()))
