"""A text classifier that needs onnxruntime, tokenizers and numpy only.

python predict.py "some text" ["another text"]      one JSON answer a line
python predict.py --json < lines.jsonl              each line a JSON string, or {"input": "..."}

>>> Classifier(".").predict(["some text"])
[{"outcome": "label", "label": "billing", "score": 0.94, "scores": [{"label": "billing", "score": 0.94}, ...]}]

An outcome of "abstain" (the score is too low to be relied on) or "out_of_scope" (nothing like it was among the samples)
has no label. Where a text may have several labels, "labels" holds all that apply, perhaps none, and "label" the best of
them.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportAttributeAccessIssue=false
# pyright: reportUnknownArgumentType=false
# onnxruntime ships no types.

from __future__ import annotations

import hashlib
import json
import os
import sys
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

# From 1.29 on onnxruntime tells its maker of every session, unless this is set when it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
from onnxruntime import InferenceSession, SessionOptions

FORMAT = 1  # of the folder this file reads: manifest.json says which it is
BATCH = 32  # texts in one pass: more wins no speed on a processor and costs memory

# {"outcome": str, "label": str | None, "score": float, "scores": [{"label": str, "score": float}, ...]}, and of a model
# that knows its scope {"familiarity": float}, below 0 out of it; where there may be several {"labels": [str, ...]}
Answer = dict[str, Any]


class Unreadable(Exception):
    """The folder is of another format, or a file is not the one that was exported."""


class Classifier:
    """The classifier in a folder. Thread-safe. `threads` is onnxruntime's, 0 means one for each core."""

    def __init__(self, folder: str | Path, threads: int = 0) -> None:
        folder = Path(folder)
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        if manifest["format"] != FORMAT:
            raise Unreadable(f"format {manifest['format']}, this file reads {FORMAT}")
        for name, file in manifest["files"].items():
            if hashlib.sha256((folder / name).read_bytes()).hexdigest() != file["sha256"]:
                raise Unreadable(f"{name} is not the file that was exported: its sha256 differs")
        self.labels: list[str] = json.loads((folder / "labels.json").read_text(encoding="utf-8"))
        self._several = manifest["task"] == "multi_label"
        self._preprocessing = manifest["preprocessing"]
        self._abstain_below: float | None = manifest["abstain_below"]
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(max_length=self._preprocessing["max_tokens"])
        options = SessionOptions()
        options.intra_op_num_threads = threads
        self._session = InferenceSession(str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"])
        self._outputs = [output.name for output in self._session.get_outputs()]

    def tokenise(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids with special tokens, truncated, unpadded."""
        form, prefix = self._preprocessing["unicode"], self._preprocessing["prefix"]
        encodings = self._tokenizer.encode_batch_fast([prefix + unicodedata.normalize(form, text) for text in texts])
        return [encoding.ids for encoding in encodings]

    def probabilities(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(texts, classes) float32, columns in the order of `labels`.

        Of a model that knows its scope one column more: negative where a text is out of it. Of one that gives several
        labels as many: negative where a label does not apply.
        """
        rows = self.tokenise(texts)
        by_length = sorted(range(len(rows)), key=lambda i: len(rows[i]))  # little padding in each batch
        margins = len(self.labels) if self._several else len(self._outputs) - 1
        answers = np.empty((len(rows), len(self.labels) + margins), np.float32)
        for start in range(0, len(rows), BATCH):
            chosen = by_length[start : start + BATCH]
            answers[chosen] = self._run([rows[i] for i in chosen])
        return answers

    def predict(self, texts: Sequence[str]) -> list[Answer]:
        """For each text its outcome and label, and every label's score, best first."""
        return [self._answer(row) for row in self.probabilities(texts)]

    def _run(self, rows: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        ids = np.zeros((len(rows), max(map(len, rows))), np.int64)
        mask = np.zeros_like(ids)
        for i, row in enumerate(rows):
            ids[i, : len(row)] = row
            mask[i, : len(row)] = 1
        found = self._session.run(self._outputs, {"input_ids": ids, "attention_mask": mask})
        return np.column_stack([np.asarray(output) for output in found])

    def _answer(self, row: NDArray[np.float32]) -> Answer:
        chances, margin = row[: len(self.labels)], row[len(self.labels) :]
        order = np.argsort(-chances, kind="stable")
        scores = [{"label": self.labels[i], "score": float(chances[i])} for i in order]
        if self._several:
            given = [self.labels[i] for i in order if margin[i] >= 0.0]
            best = given[0] if given else None
            return {"outcome": "label", "label": best, "labels": given, "score": scores[0]["score"], "scores": scores}
        outcome = "label"
        if (margin < 0.0).any():
            outcome = "out_of_scope"
        elif self._abstain_below is not None and scores[0]["score"] < self._abstain_below:
            outcome = "abstain"
        label = scores[0]["label"] if outcome == "label" else None
        familiarity = {"familiarity": float(margin[0])} if len(margin) else {}
        return {"outcome": outcome, "label": label, "score": scores[0]["score"], "scores": scores, **familiarity}


def main(arguments: Sequence[str]) -> int:
    if not arguments:
        sys.stderr.write(__doc__ or "")
        return 2
    classifier = Classifier(Path(__file__).parent)
    for text in _lines() if arguments[0] == "--json" else arguments:
        answer = json.dumps(classifier.predict([text])[0], ensure_ascii=False)
        sys.stdout.buffer.write(answer.encode() + b"\n")  # UTF-8 whatever the terminal's locale
    return 0


def _lines() -> Iterator[str]:
    for line in sys.stdin.buffer:
        value = json.loads(line)
        yield value if isinstance(value, str) else value["input"]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
