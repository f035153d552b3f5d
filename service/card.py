"""A version's model card: what it is, what it was trained on, what it is worth, where it ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tsugiki.domain import Json, Project, Version


def card(project: Project, version: Version, report: Json) -> str:
    """Markdown. `report` is the version's evaluation."""
    lines = [
        f"# {project.name}, version {version.number}",
        "",
        f"A {project.modality} classifier with {len(version.labels)} labels, method `{version.method}` on the frozen",
        f"backbone `{version.backbone}` (feature space `{version.feature_space}`),",
        f"made {version.created_at:%Y-%m-%d %H:%M} UTC.",
        "",
        "## Data",
        f"{report['samples']} labelled samples (snapshot `{version.snapshot}`,",
        f"sha256 `{version.lineage['snapshot_digest']}`); equal texts never stand on both sides of a split.",
        "",
        "## Worth",
        *(_worth(report) if report["held_out"] else [report["note"].capitalize() + "."]),
        "",
        "## Limits",
        "It knows only its labels and the kind of input it was trained on; a score is a calibrated probability there,",
        "and nowhere else.",
        "",
        "## Lineage",
        f"Adaptation `{version.lineage['adaptation']}`, parent version {version.lineage['parent'] or 'none'},",
        f"graft sha256 `{version.digest}`.",
        "",
    ]
    return "\n".join(lines)


def _worth(report: Json) -> list[str]:
    accuracy, baseline = report["accuracy"], report["majority_baseline"]
    low, high = accuracy["ci95"]
    worst = sorted(report["per_class"], key=lambda row: row["f1"])[:5]
    return [
        "Measured on samples that the judged fit had not seen; 95 % intervals in brackets.",
        "",
        "| | value | |",
        "|---|---|---|",
        f"| accuracy | {accuracy['value']:.3f} | [{low:.3f}, {high:.3f}] |",
        *(
            _row(name, report[key])
            for name, key in (("macro F1", "macro_f1"), ("log loss", "log_loss"), ("ECE", "ece"))
        ),
        f"| always the commonest label | {baseline['accuracy']['value']:.3f} | |",
        "",
        "The labels it knows least:",
        "",
        "| label | precision | recall | F1 | samples |",
        "|---|---|---|---|---|",
        *(_label_row(row) for row in worst),
    ]


def _row(name: str, figure: Json) -> str:
    low, high = figure["ci95"]
    return f"| {name} | {figure['value']:.3f} | [{low:.3f}, {high:.3f}] |"


def _label_row(row: Json) -> str:
    figures = " | ".join(f"{row[key]:.2f}" for key in ("precision", "recall", "f1"))
    return f"| {_cell(row['label'])} | {figures} | {row['support']} |"


def _cell(label: str) -> str:
    return label.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ")
