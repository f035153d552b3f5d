"""Words with few values, and the numbers that everything agrees on."""

from __future__ import annotations

from typing import Any, Literal, get_args

Modality = Literal["text", "image", "audio"]
Task = Literal["single_label", "multi_label"]
MethodName = Literal["zero_shot", "head", "lora", "partial", "full"]
Scope = Literal["predict", "annotate", "adapt", "admin"]
JobStatus = Literal["queued", "running", "succeeded", "failed", "cancelled"]
UNFINISHED: tuple[JobStatus, ...] = ("queued", "running")
Phase = Literal["validate", "audit", "embed", "plan", "train", "calibrate", "evaluate", "gate", "promote"]
Promotion = Literal["gate", "always", "never"]
GateRule = Literal["refit", "replacement"]
Precision = Literal["fp32", "int8"]
EngineName = Literal["onnxruntime", "openvino", "openvino-int8", "torch"]
EngineWish = Literal["auto", "onnxruntime", "openvino", "openvino-int8", "torch"]
Outcome = Literal["label", "abstain", "out_of_scope"]
RowFinding = Literal[  # what an audit may find wrong with one sample
    "duplicate_exact",
    "duplicate_near",
    "duplicate_across_folds",
    "duplicate_conflicting_label",
    "duplicate_near_conflicting_label",
    "label_suspect",
    "outlier",
    "input_too_short",
    "input_truncated",
    "image_dark",
    "image_blurred",
    "image_small",
    "audio_clipped",
    "audio_quiet",
    "audio_odd_length",
]
FixAction = Literal["relabel", "drop", "keep"]
Content = str | bytes  # of a sample or an input: a text, or a file's bytes as they were sent
Json = dict[str, Any]  # a JSON object as the wire and the database hold it; Any because JSON is untyped

LIVE = "live"
ROW_FINDINGS: tuple[RowFinding, ...] = get_args(RowFinding)
MIN_LABELS = 2
MIN_PER_LABEL = 2  # one sample to learn from while the other is held out
MAX_LABELS = 1_000  # what the head solver and the bank are tested to
MAX_SAMPLES = 100_000  # per project, ditto
SOFTENED = 3  # of a scope's certainty: 2, 3 and 5 told unknown inputs alike (AUROC within 0.004), 1 less well
