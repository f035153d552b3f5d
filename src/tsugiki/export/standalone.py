"""A classifier that needs what requirements.txt lists only: numpy, onnxruntime, and what reads its inputs.

python predict.py "some text" ["another text"]      one JSON answer a line
python predict.py photo.jpg [other.png]             the same of a classifier of pictures
python predict.py clip.wav [other.mp3]              the same of one of sounds
python predict.py --json < lines.jsonl              each line a JSON string, or {"input": "..."}: a text, or a path

>>> Classifier(".").predict(["some text"])          of pictures and sounds: paths, or the bytes of files
[{"outcome": "label", "label": "billing", "score": 0.94, "scores": [{"label": "billing", "score": 0.94}, ...]}]

An outcome of "abstain" (the score is too low to be relied on) or "out_of_scope" (nothing like it was among the samples)
has no label. Where an input may have several labels, "labels" holds all that apply, perhaps none, "label" the best of
them, and "set_score" says how sure all of that is. A file that cannot be read, or a line that is not as above, is
answered {"error": {"code": ..., "detail": ..., "fix": ...}}, and the exit status is 1 then; in Python that is Refused.
Blank lines are skipped.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportAttributeAccessIssue=false
# pyright: reportUnknownArgumentType=false
# onnxruntime ships no types.

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import sys
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

# From 1.29 on onnxruntime tells its maker of every session, unless this is set when it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
from onnxruntime import InferenceSession, SessionOptions

FORMAT = 2  # of the folder this file reads: manifest.json says which it is
LEAST_CHANCE = float(np.finfo(np.float32).eps)  # a float32 0 is not a proof
LINE = 'give a JSON string, or {"input": "..."}, on each line'
READ_AT_ONCE = 128  # inputs: what is read of them takes 20 MB of pictures, 120 MB of the longest sounds

Input = str | Path | bytes  # a text; of pictures and sounds a path, or the bytes of a file
Row = NDArray[Any]  # Any: numbers of tokens, pixels, or frames
# {"outcome": str, "label": str | None, "score": float, "scores": [{"label": str, "score": float}, ...]}, and of a model
# that knows its scope {"familiarity": float}, below 0 out of it; where there may be several {"labels": [str, ...],
# "set_score": float}
Answer = dict[str, Any]


class WrongFolder(Exception):
    """The folder is of another format, or a file is not the one that was exported."""


class Refused(ValueError):
    """One input cannot be read: `code` as the service tells it, `detail` what was found, `fix` what to do."""

    def __init__(self, code: str, detail: str, fix: str) -> None:
        super().__init__(f"{detail} ({code})")
        self.code, self.detail, self.fix = code, detail, fix


class Classifier:
    """The classifier in a folder. Thread-safe. `threads` is onnxruntime's, 0 means one for each core."""

    def __init__(self, folder: str | Path, threads: int = 0) -> None:
        folder = Path(folder)
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        if manifest["format"] != FORMAT:
            raise WrongFolder(f"format {manifest['format']}, this file reads {FORMAT}")
        for name, file in manifest["files"].items():
            if hashlib.sha256((folder / name).read_bytes()).hexdigest() != file["sha256"]:
                raise WrongFolder(f"{name} is not the file that was exported: its sha256 differs")
        self.labels: list[str] = json.loads((folder / "labels.json").read_text(encoding="utf-8"))
        self._several = manifest["task"] == "multi_label"
        self._abstain_below: float | None = manifest["abstain_below"]
        settings = manifest["preprocessing"]
        self._reader: Reader = READERS[settings["kind"]](folder, settings)
        options = SessionOptions()
        options.intra_op_num_threads = threads
        self._session = InferenceSession(str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"])
        self._outputs = [output.name for output in self._session.get_outputs()]

    def read(self, inputs: Sequence[Input]) -> list[Row]:
        """What the model is given of each: numbers of tokens, pixels, or frames. Raises Refused for the first bad."""
        return self._reader.read(inputs)

    def probabilities(self, inputs: Sequence[Input]) -> NDArray[np.float32]:
        """(inputs, classes) float32, columns in the order of `labels`.

        Of a model that gives several labels as many more: negative where a label does not apply. Of one that knows its
        scope one column more: negative where an input is out of it.
        Raises Refused for the first input that cannot be read.
        """
        margins = len(self._outputs) - 1 + (len(self.labels) - 1 if self._several else 0)
        answers = np.empty((len(inputs), len(self.labels) + margins), np.float32)
        for first in range(0, len(inputs), READ_AT_ONCE):
            rows = self.read(inputs[first : first + READ_AT_ONCE])
            by_length = sorted(range(len(rows)), key=lambda i: len(rows[i]))  # little padding in each batch
            for start in range(0, len(rows), self._reader.batch):
                chosen = by_length[start : start + self._reader.batch]
                answers[[first + i for i in chosen]] = self._run([rows[i] for i in chosen])
        return answers

    def predict(self, inputs: Sequence[Input]) -> list[Answer]:
        """For each input its outcome and label, and every label's score, best first. Raises Refused as above."""
        return [self._answer(row) for row in self.probabilities(inputs)]

    def _run(self, rows: Sequence[Row]) -> NDArray[np.float32]:
        found = self._session.run(self._outputs, self._reader.stack(rows))
        return np.column_stack([np.asarray(output) for output in found])

    def _answer(self, row: NDArray[np.float32]) -> Answer:
        chances, margin = row[: len(self.labels)], row[len(self.labels) :]
        order = np.argsort(-chances, kind="stable")
        scores = [{"label": self.labels[i], "score": float(chances[i])} for i in order]
        answer: Answer = {"outcome": "label", "label": None, "score": scores[0]["score"], "scores": scores}
        given = margin[: len(self.labels)] >= 0.0 if self._several else np.arange(len(chances)) == order[0]
        beyond = margin[len(self.labels) :] if self._several else margin
        if self._several:
            answer["set_score"] = _set_score(chances, given)
        if len(beyond):
            answer["familiarity"] = float(beyond[0])
        if (beyond < 0.0).any():
            answer["outcome"] = "out_of_scope"
        elif self._abstain_below is not None and answer.get("set_score", answer["score"]) < self._abstain_below:
            answer["outcome"] = "abstain"
        labels = [self.labels[i] for i in order if given[i] and answer["outcome"] == "label"]
        return answer | {"label": labels[0] if labels else None} | ({"labels": labels} if self._several else {})


class Reader(Protocol):
    """Inputs to what the model is given. `batch` rows are one pass: more win no speed on a processor, cost memory."""

    batch: int

    def read(self, inputs: Sequence[Input]) -> list[Row]: ...
    def stack(self, rows: Sequence[Row]) -> Mapping[str, Row]: ...


class Texts:
    """Rows are token ids (tokens,) with special tokens, truncated."""

    batch = 32

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        from tokenizers import Tokenizer

        self._settings = settings
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(max_length=settings["max_tokens"])

    def read(self, inputs: Sequence[Input]) -> list[Row]:
        encodings = self._tokenizer.encode_batch_fast([self._spelt(given) for given in inputs])
        return [np.array(encoding.ids, np.int64) for encoding in encodings]

    def stack(self, rows: Sequence[Row]) -> Mapping[str, Row]:
        return _padded("input_ids", rows)

    def _spelt(self, given: Input) -> str:
        if not isinstance(given, str):
            raise Refused("input_invalid", "this classifier reads texts", "give a string")
        return self._settings["prefix"] + unicodedata.normalize(self._settings["unicode"], given)


class Pictures:
    """Rows are pixels (size, size, 3) of 0 to 255; the model scales them itself."""

    batch = 8

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        self._images = _module(folder, "images")
        self._view = self._images.View(**settings["view"])

    def read(self, inputs: Sequence[Input]) -> list[Row]:
        return [self._read(given) for given in inputs]

    def stack(self, rows: Sequence[Row]) -> Mapping[str, Row]:
        return {"pixels": np.stack(rows)}

    def _read(self, given: Input) -> Row:
        try:
            return self._images.read_image(_bytes(given), self._view)
        except self._images.Unreadable as error:
            raise Refused(error.code, error.detail, error.fix) from error


class Sounds:
    """Rows are frames (frames, bands), the logarithm of a mel spectrogram, or the samples (n,) themselves."""

    batch = 4

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        self._sounds, self._ear = _module(folder, "sounds"), _module(folder, settings["heard"])
        self._settings = settings
        self._name = "wave" if settings["heard"] == "wave" else "mel"

    def read(self, inputs: Sequence[Input]) -> list[Row]:
        return [self._read(given) for given in inputs]

    def stack(self, rows: Sequence[Row]) -> Mapping[str, Row]:
        return _padded(self._name, rows)

    def _read(self, given: Input) -> Row:
        settings = self._settings
        try:
            return self._heard(self._sounds.read_sound(_bytes(given), settings["rate"], settings["most_seconds"]))
        except self._sounds.Unreadable as error:
            raise Refused(error.code, error.detail, error.fix) from error

    def _heard(self, samples: Row) -> Row:
        told = self._settings
        if told["heard"] == "wave":
            return self._ear.levelled(samples, told["least"], normalise=told["normalise"])
        if told["heard"] == "fbank":
            scale = {key: told[key] for key in ("frames", "bins", "middle", "spread")}
            return self._ear.log_fbank(samples, **scale)
        return self._ear.log_mel(samples)


READERS = {"text": Texts, "image": Pictures, "audio": Sounds}


def _set_score(chances: NDArray[np.float32], given: NDArray[np.bool_]) -> float:
    """The chance that all labels given, and all that are not, are right, as if they had nothing to do with another."""
    told = np.maximum(np.where(given, chances, 1.0 - chances), LEAST_CHANCE)
    return float(np.float32(np.exp(np.log(told.astype(np.float64)).sum())))


def _padded(name: str, rows: Sequence[Row]) -> Mapping[str, Row]:
    """Rows made rectangular, 0 beyond a row's end, and where they are: 1 there."""
    shape = (len(rows), max(map(len, rows)))
    padded, mask = np.zeros(shape + rows[0].shape[1:], rows[0].dtype), np.zeros(shape, np.int64)
    for i, row in enumerate(rows):
        padded[i, : len(row)] = row
        mask[i, : len(row)] = 1
    return {name: padded, "attention_mask": mask}


def _module(folder: Path, name: str) -> Any:  # Any: its types are told where it lies, not here
    """The folder's own, whatever else is called so where this runs."""
    spec = importlib.util.spec_from_file_location(f"{__name__}.{name}", folder / f"{name}.py")
    assert spec is not None and spec.loader is not None, "files that end in .py have a loader"
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look for the names in their annotations
    spec.loader.exec_module(module)
    return module


def _bytes(given: Input) -> bytes:
    if isinstance(given, bytes):
        return given
    try:
        return Path(given).read_bytes()
    except (OSError, ValueError) as error:  # a ValueError where the path cannot be one
        raise Refused("file_unreadable", f"the file cannot be opened: {error}", "give the path of a file") from error


def main(arguments: Sequence[str]) -> int:
    if not arguments:
        sys.stderr.write(__doc__ or "")
        return 2
    classifier = Classifier(Path(__file__).parent)
    status = 0
    for given in _lines() if arguments[0] == "--json" else arguments:
        try:
            answer = classifier.predict([_asked(given) if isinstance(given, bytes) else given])[0]
        except Refused as refused:
            answer = {"error": {"code": refused.code, "detail": refused.detail, "fix": refused.fix}}
            status = 1
        # UTF-8 whatever the terminal's locale
        sys.stdout.buffer.write(json.dumps(answer, ensure_ascii=False).encode() + b"\n")
    return status


def _lines() -> Iterator[bytes]:
    return (line for line in sys.stdin.buffer if line.strip())


def _asked(line: bytes) -> str:
    """Raises Refused."""
    try:
        value = json.loads(line)
        asked = value["input"] if isinstance(value, dict) and "input" in value else value
        if isinstance(asked, str):
            asked.encode()  # half a character, which JSON can spell, is no text
            return asked
    except (ValueError, RecursionError) as error:
        raise Refused("input_invalid", f"the line cannot be read: {error}", LINE) from error
    raise Refused("input_invalid", "the line holds no string", LINE)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
