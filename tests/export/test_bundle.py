from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.export.answering import probabilities
from tests.export.conftest import SHARPNESS
from tests.runtime.adapting import drawn_lora, drawn_weights
from tsugiki.backbones import Loaded
from tsugiki.backbones.sites import linear_shapes
from tsugiki.domain import Graft, Head, HeadScope, Json, Precision
from tsugiki.errors import ParityMissed, WrongFeatureSpace
from tsugiki.evaluation.scope import certainty_of, class_means, nearness_to
from tsugiki.evaluation.sets import set_scores
from tsugiki.export.bundle import Bundle, build
from tsugiki.export.standalone import Classifier, WrongFolder
from tsugiki.runtime.engines.making import Cores, make
from tsugiki.runtime.engines.onnx import OnnxEngine
from tsugiki.runtime.loras import LoraBank
from tsugiki.runtime.ranking import outcome_of

if TYPE_CHECKING:
    from tsugiki.domain import Floats

FACTS: Json = {"version": 7, "digest": "ab" * 32}
FILES = ["labels.json", "manifest.json", "model.onnx", "predict.py", "requirements.txt", "tokenizer.json"]
# Runs predict.py where the service's own libraries cannot be imported, as on a machine that never had them.
BARE = """
import runpy, sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"tsugiki", "torch", "transformers", "onnx", "scipy", "sklearn", "adapters"}:
            raise ImportError(name + " is not installed")
sys.meta_path.insert(0, Absent())
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


class Delivered:
    """One bundle and the folder it was unpacked to."""

    def __init__(self, bundle: Bundle, folder: Path) -> None:
        self.bundle, self.folder = bundle, folder
        with zipfile.ZipFile(bundle.path) as archive:
            archive.extractall(folder)
        self.manifest: Json = json.loads((folder / "manifest.json").read_text())

    def ask(self, *arguments: str, stdin: str | bytes = "", status: int = 0) -> list[Json]:
        program = [sys.executable, "-I", "-c", BARE, str(self.folder / "predict.py"), *arguments]
        given = stdin if isinstance(stdin, bytes) else stdin.encode()
        asked = subprocess.run(program, input=given, capture_output=True, check=False, timeout=60)
        assert asked.returncode == status, asked.stderr.decode()
        return [json.loads(line) for line in asked.stdout.splitlines()]


@pytest.fixture(scope="module", params=["fp32", "int8"])
def delivered(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    tiny: Loaded,
    graft: Graft,
    texts: tuple[str, ...],
    reference: Floats,
) -> Delivered:
    folder = tmp_path_factory.mktemp("bundle")
    precision: Precision = request.param
    return Delivered(build(folder / "b.zip", tiny, graft, FACTS, precision, texts, reference), folder / "unpacked")


def test_zip_holds_the_promised_files_and_nothing_named_by_a_tenant(delivered: Delivered) -> None:
    with zipfile.ZipFile(delivered.bundle.path) as archive:
        assert sorted(archive.namelist()) == FILES
    assert sorted(path.name for path in delivered.folder.rglob("*")) == FILES


def test_manifest_says_what_it_is_and_how_near_the_service(delivered: Delivered, tiny: Loaded, graft: Graft) -> None:
    manifest = delivered.manifest
    assert manifest["version"] == FACTS
    assert manifest["feature_space"] == graft.feature_space
    assert manifest["backbone"]["sha256"] == tiny.backbone.space.backbone_sha256
    assert manifest["parity"]["rows"] == delivered.bundle.parity.rows
    assert manifest["parity"]["reference"] == "service"
    assert manifest["opset"] == 18
    assert delivered.bundle.latency["p50_ms"] > 0


def test_program_answers_as_the_service_where_only_its_requirements_are(
    delivered: Delivered, graft: Graft, texts: tuple[str, ...], reference: Floats
) -> None:
    chosen = [text for text in texts if text and "\0" not in text]
    answers = delivered.ask(*chosen)
    tolerance = 1e-4 if delivered.manifest["precision"] == "fp32" else 0.1
    for text, answer in zip(chosen, answers, strict=True):
        expected = dict(zip(graft.head.labels, reference[texts.index(text)].tolist(), strict=True))
        assert {s["label"]: s["score"] for s in answer["scores"]} == pytest.approx(expected, abs=tolerance)
        assert (answer["label"], answer["score"]) == tuple(answer["scores"][0].values())
        assert answer["score"] == max(s["score"] for s in answer["scores"])


def test_program_reads_json_lines(delivered: Delivered) -> None:
    inputs = ["", "nul \0 inside", "two\nlines 🎉"]
    lines = "\n".join(json.dumps(text) for text in inputs) + "\n" + json.dumps({"input": ""})
    answers = delivered.ask("--json", stdin=lines)
    assert len(answers) == 4
    assert answers[0] == answers[3]


def test_an_odd_line_is_told_of_and_the_others_are_answered(delivered: Delivered) -> None:
    odd = [b"{", b'{"text": "card"}', b"5", b"null", b'{"input": 5}', b'"\\ud800"', b'"\xff"', b"[" * 100_000]
    lines = b"\n".join([b'"card"', b"", *odd, b"  ", b'{"input": "card"}', b""])
    first, *between, last = delivered.ask("--json", stdin=lines, status=1)
    assert first == last and first["outcome"] == "label"
    assert len(between) == len(odd)
    assert {answer["error"]["code"] for answer in between} == {"input_invalid"}


def test_tokens_are_the_service_s(delivered: Delivered, tiny: Loaded, texts: tuple[str, ...]) -> None:
    classifier = Classifier(delivered.folder, threads=1)
    found = [row.tolist() for row in classifier.read(texts)]
    assert found == [prepared.row.tolist() for prepared in tiny.backbone.prepare(texts)]


def test_exchanged_file_is_not_read(delivered: Delivered, tmp_path: Path) -> None:
    for path in delivered.folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    labels = json.loads((tmp_path / "labels.json").read_text())
    (tmp_path / "labels.json").write_text(json.dumps(labels[::-1]))
    with pytest.raises(WrongFolder, match=r"labels\.json"):
        Classifier(tmp_path)


def test_same_graft_gives_the_same_bytes(
    tmp_path: Path, tiny: Loaded, graft: Graft, texts: tuple[str, ...], reference: Floats
) -> None:
    first, second = (build(tmp_path / n, tiny, graft, FACTS, "fp32", texts, reference) for n in ("1.zip", "2.zip"))
    assert first.sha256 == second.sha256
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1.zip", "2.zip"]


def swapped(head: Head) -> Head:
    return replace(head, labels=(head.labels[1], head.labels[0], *head.labels[2:]), weight=head.weight[[1, 0, 2, 3]])


def perturbed(head: Head) -> Head:
    return replace(head, weight=head.weight * np.float32(1.01))


def uncalibrated(head: Head) -> Head:
    return replace(head, temperature=1.0)


def mislabelled(head: Head) -> Head:
    return replace(head, weight=head.weight[[1, 0, 2, 3]])


@pytest.mark.parametrize("broken", [swapped, perturbed, uncalibrated, mislabelled])
def test_export_of_another_head_than_the_one_served_is_refused(
    broken: object, tmp_path: Path, tiny: Loaded, graft: Graft, texts: tuple[str, ...], reference: Floats
) -> None:
    assert callable(broken)
    other = replace(graft, head=broken(graft.head))
    with pytest.raises(ParityMissed):
        build(tmp_path / "b.zip", tiny, other, FACTS, "fp32", texts, reference)
    assert not list(tmp_path.iterdir())


def test_int8_export_that_loses_labels_is_refused(
    tmp_path: Path, tiny: Loaded, graft: Graft, texts: tuple[str, ...], reference: Floats
) -> None:
    other = replace(graft, head=mislabelled(graft.head))
    with pytest.raises(ParityMissed, match="int8 export"):
        build(tmp_path / "b.zip", tiny, other, FACTS, "int8", texts, reference)


def test_graft_of_another_space_is_refused(tmp_path: Path, tiny: Loaded, graft: Graft, reference: Floats) -> None:
    with pytest.raises(WrongFeatureSpace, match="fsp_other"):
        build(tmp_path / "b.zip", tiny, replace(graft, feature_space="fsp_other"), FACTS, "fp32", ["a"], reference)


def test_export_without_rows_to_compare_is_refused(tmp_path: Path, tiny: Loaded, graft: Graft) -> None:
    with pytest.raises(ParityMissed):
        build(tmp_path / "b.zip", tiny, graft, FACTS, "fp32", [], np.empty((0, 4), np.float32))


@pytest.mark.parametrize("kind", ["lora", "weights"])
def test_a_changed_backbone_is_exported_as_it_serves(
    tmp_path: Path, tiny: Loaded, graft: Graft, texts: tuple[str, ...], reference: Floats, kind: str
) -> None:
    rows = [prepared.row for prepared in tiny.backbone.prepare(texts)]
    if kind == "lora":
        delta = drawn_lora(tiny, 1, rank=3, everywhere=True)
        engine = OnnxEngine(tiny, threads=1)
        bank = LoraBank(lambda: linear_shapes(tiny.graph), "float32", 0)
        slot = bank.load(delta)
        features = engine.run(rows, bank.adapters(slot.rack, np.array([slot.index])))
    else:
        delta = drawn_weights(tiny, 1)
        features = make("onnxruntime", tiny, delta, Cores(1, 1)).run(rows)
    changed = replace(graft, delta=delta)
    served = probabilities(features, graft.head)
    bundle = build(tmp_path / "b.zip", tiny, changed, FACTS, "fp32", texts, served)
    assert bundle.parity.max_abs_diff < 1e-4
    with pytest.raises(ParityMissed):
        build(tmp_path / "c.zip", tiny, graft, FACTS, "fp32", texts, served)


def test_an_export_says_what_is_out_of_scope_and_abstains_as_the_service(
    tmp_path: Path, tiny: Loaded, graft: Graft, features: Floats, texts: tuple[str, ...], reference: Floats
) -> None:
    means = class_means(features, reference.argmax(axis=1), len(graft.head.labels))
    familiarity = nearness_to(means, features) + 0.1 * certainty_of(reference)
    least = float(np.sort(familiarity)[4:6].mean())
    head = replace(graft.head, scope=HeadScope(means, 0.1, least))
    margins = np.column_stack([reference, familiarity - least]).astype(np.float32)
    below = float(np.sort(reference.max(axis=1))[9:11].mean())
    made = replace(graft, head=head)
    zipped = build(tmp_path / "b.zip", tiny, made, FACTS, "fp32", texts, margins, abstain_below=below)
    assert zipped.parity.label_agreement == 1
    asked = [row for row, text in enumerate(texts) if text and "\0" not in text]
    answers = Delivered(zipped, tmp_path / "unpacked").ask(*(texts[row] for row in asked))
    assert [answer["outcome"] for answer in answers] == [
        outcome_of(float(reference[row].max()), float(margins[row, -1]), below) for row in asked
    ]
    assert {answer["outcome"] for answer in answers} == {"label", "abstain", "out_of_scope"}
    for answer in answers:
        assert (answer["label"] is None) == (answer["outcome"] != "label")
        assert answer["score"] == answer["scores"][0]["score"]


def test_an_export_of_several_labels_says_what_is_out_of_scope_and_abstains_as_the_service(
    tmp_path: Path, tiny: Loaded, graft: Graft, features: Floats, texts: tuple[str, ...]
) -> None:
    head = graft.head
    chances = 1.0 / (1.0 + np.exp(-(features @ head.weight.T + head.bias) / head.temperature))
    thresholds = np.median(chances, axis=0).astype(np.float32) + np.float32(1e-3)
    means = np.concatenate([features[:3], features[5:6]])
    familiarity = nearness_to(means, features) + 0.1 * chances.max(axis=1)
    least = float(np.sort(familiarity)[4:6].mean())
    served = np.column_stack([chances, chances - thresholds, familiarity - least]).astype(np.float32)
    sure = set_scores(served[:, : len(head.labels)], served[:, len(head.labels) : -1] >= 0.0)
    below = float(np.sort(sure)[9:11].mean())
    made = replace(graft, head=replace(head, scope=HeadScope(means, 0.1, least), thresholds=thresholds))
    zipped = build(tmp_path / "b.zip", tiny, made, FACTS, "fp32", texts, served, abstain_below=below)
    assert zipped.parity.label_agreement == 1
    asked = [row for row, text in enumerate(texts) if text and "\0" not in text]
    answers = Delivered(zipped, tmp_path / "unpacked").ask(*(texts[row] for row in asked))
    assert {answer["outcome"] for answer in answers} == {"label", "abstain", "out_of_scope"}
    for row, answer in zip(asked, answers, strict=True):
        assert answer["outcome"] == outcome_of(float(sure[row]), float(served[row, -1]), below)
        assert answer["familiarity"] == pytest.approx(float(served[row, -1]), abs=1e-4)
        given = {
            label for label, margin in zip(head.labels, served[row, len(head.labels) : -1], strict=True) if margin >= 0
        }
        assert set(answer["labels"]) == (given if answer["outcome"] == "label" else set())
    turned = served.copy()
    turned[:, -1] *= -1
    with pytest.raises(ParityMissed):
        build(tmp_path / "c.zip", tiny, made, FACTS, "fp32", texts, turned)


def test_texts_that_sentencepiece_cuts_are_answered_as_by_the_service(tmp_path: Path, ngrams: Loaded) -> None:
    """The program has its pieces from tokenizer.json, and no other library than before."""
    texts = ["日本語", "返金 please", "the card is lost", "ﾊﾝｶｸ", "カ  [x]", ""]
    features = make("onnxruntime", ngrams, None, Cores(1, 1)).run([one.row for one in ngrams.backbone.prepare(texts)])
    weight = (SHARPNESS * (features[:3] - features.mean(axis=0))).astype(np.float32)
    head = Head(weight, np.zeros(3, np.float32), 1.0, ("a", "b", "c"))
    served = probabilities(features, head)
    graft = Graft("head", ngrams.backbone.space.id, head)
    delivered = Delivered(build(tmp_path / "b.zip", ngrams, graft, FACTS, "fp32", texts, served), tmp_path / "unpacked")
    assert sorted(path.name for path in delivered.folder.iterdir()) == FILES
    for text, answer, scores in zip(texts[:5], delivered.ask(*texts[:5]), served, strict=False):
        assert answer["label"] == head.labels[int(scores.argmax())], text
        assert answer["score"] == pytest.approx(float(scores.max()), abs=1e-5)
