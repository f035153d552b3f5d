"""What an audit may find: the codes, what each says, and which fixes it offers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from tsugiki.domain import FixAction, RowFinding

LabelCode = Literal["label_rare", "label_thin"]
Code = RowFinding | LabelCode


@dataclass(frozen=True, slots=True)
class Advice:
    """What is said of every finding of a code; `pointer` is into the sample, empty where a label is meant."""

    pointer: str
    detail: str
    fix: str
    actions: tuple[FixAction, ...]


@dataclass(frozen=True, slots=True)
class Finding:
    """About one row (`row`), or one label (`label`) where `row` is None.

    `evidence` are the rows that show it, the most telling first. `score` is 0..1, the surer the higher, where the
    code has one; `suggested` is the label that would be right, as an index; where a row may have several, `wrong` are
    those that it has and should not, or has not and should.
    """

    code: Code
    row: int | None = None
    label: int | None = None
    evidence: tuple[int, ...] = ()
    score: float | None = None
    suggested: int | None = None
    wrong: tuple[int, ...] = ()
    detail: str = ""  # figures beside the code's own words


ADVICE: Mapping[Code, Advice] = {
    "duplicate_exact": Advice(
        "/input", "The same input but for case and white space, with the same label.", "Drop it.", ("drop", "keep")
    ),
    "duplicate_near": Advice(
        "/input", "Nearly the same input as an older sample of the same label.", "Drop it.", ("drop", "keep")
    ),
    "duplicate_across_folds": Advice(
        "/input",
        "Nearly the same input was trained on while this one was held out: the evaluation flatters.",
        "Drop one of them, or add samples that differ.",
        ("drop", "keep"),
    ),
    "duplicate_conflicting_label": Advice(
        "/label", "The same input has another label.", "Correct or drop one of them.", ("relabel", "drop", "keep")
    ),
    "duplicate_near_conflicting_label": Advice(
        "/label",
        "Nearly the same input has another label.",
        "Correct or drop one of them.",
        ("relabel", "drop", "keep"),
    ),
    "label_suspect": Advice(
        "/label",
        "Fits that had not seen this sample are sure of another label.",
        "Look at it: relabel it if the suggested label is right, else keep it.",
        ("relabel", "drop", "keep"),
    ),
    "outlier": Advice(
        "/input",
        "Far from all other samples: perhaps not what this project is for.",
        "Look at it: drop it, or keep it and add more like it.",
        ("drop", "relabel", "keep"),
    ),
    "input_too_short": Advice(
        "/input", "So short that its label cannot be told from it.", "Drop it, or keep it.", ("drop", "keep")
    ),
    "input_truncated": Advice(
        "/input",
        "Longer than the backbone reads: what is beyond does not count.",
        "Send the part that decides the label.",
        ("drop", "keep"),
    ),
    "image_dark": Advice(
        "/input", "So dark or so light that little is to be seen.", "Take it anew, or drop it.", ("drop", "keep")
    ),
    "image_blurred": Advice("/input", "Nothing in it is sharp.", "Take it anew, or drop it.", ("drop", "keep")),
    "image_small": Advice(
        "/input",
        "Smaller than what a network looks at: what it sees is made up.",
        "Send a larger one.",
        ("drop", "keep"),
    ),
    "audio_clipped": Advice(
        "/input", "Recorded too loudly: the tops of its waves are cut off.", "Record it anew.", ("drop", "keep")
    ),
    "audio_quiet": Advice("/input", "Hardly louder than silence.", "Record it anew, or drop it.", ("drop", "keep")),
    "audio_odd_length": Advice(
        "/input",
        "Much longer or shorter than the others.",
        "Cut it to what decides the label, or keep it.",
        ("drop", "keep"),
    ),
    "label_rare": Advice("/label", "Far fewer samples than the other labels have.", "Add samples of it.", ()),
    "label_thin": Advice(
        "/label", "Its samples are mostly the same few, told again.", "Add samples that differ from them.", ()
    ),
}
