"""The life of one classifier, start to end, on a service of its own that leaves nothing behind.

python -m service.demo              on 96 support tickets of 6 kinds, written for this
python -m service.demo tickets.csv  on yours: columns `text` and `label`, and `split` if you like (first, later, unseen)

It adapts, evaluates, predicts texts never seen, learns from more samples, rolls back and forward, exports, and runs the
export in a process of its own beside the service. It ends with 1 and says why, if any two answers disagree.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from rich.console import Console

from service import demo_tables as tables
from service.demo_data import Tickets, Unreadable, read_tickets
from service.launch import serving
from service.settings import read_settings
from tsugiki.client import Adaptation, Client, Prediction, Predictions, TsugikiProblem
from tsugiki.export.parity import MAX_ABS_DIFF

BUNDLED = Path(__file__).with_name("demo_tickets.csv")
PROJECT = "demo"
PATIENCE_S = 600.0  # for one job; the bundled tickets need some seconds
ALL_LABELS = 1_000  # top_k: more than any project has
SHOWN_ROWS = 12  # texts in a table
SHOWN_LOG = 20  # last lines of the service's log, where the demo failed


class Disagreement(Exception):
    """Two answers that must be the same are not, or a job did not do what it is there for."""


@dataclass(frozen=True, slots=True)
class Demo:
    console: Console
    client: Client
    tickets: Tickets

    def adapt(self) -> Adaptation:
        """Version 1 from the first samples, and what its evaluation says."""
        with self._stage(f"Adapting to {len(self.tickets.first)} samples"):
            adapted = self.client.adapt(PROJECT, self.tickets.first, wait_seconds=60)
            adaptation = self._done(adapted.adaptation)
        self.console.print(tables.samples(adapted.samples), tables.timings(adaptation.timings), sep="\n")
        evaluation = self.client.versions.evaluation(PROJECT, _number(adaptation))
        self.console.print(tables.headline(evaluation), tables.per_label(evaluation))
        return adaptation

    def predict_unseen(self, version: int) -> None:
        texts = [text for text, _ in self.tickets.unseen]
        with self._stage(f"Predicting {len(texts)} texts it has never seen"):
            answers = self._ask(texts, version)
        self.console.print(tables.answers(self.tickets.unseen[:SHOWN_ROWS], answers))
        self.console.print(tables.accuracy(self._right(answers), len(texts), version))

    def learn_more(self, before: int) -> int:
        """The next version, from more samples: only the new ones are embedded. Returns the version now live."""
        with self._stage(f"Learning from {len(self.tickets.later)} more samples"):
            self.client.samples.add(PROJECT, self.tickets.later)
            adaptation = self._done(self.client.adaptations.start(PROJECT, wait_seconds=60))
        after = _number(adaptation)
        reason = adaptation.gate["reason"] if adaptation.gate else "no gate"
        self.console.print(f"  version {after}; the gate says: {reason}", markup=False)
        if not adaptation.promoted:
            self.client.versions.move_alias(PROJECT, after, expected_version=before)
            self.console.print(f"  the gate kept version {before}; moved to {after} by hand, to go on")
        return after

    def back_and_forward(self, before: int, after: int) -> None:
        texts = [text for text, _ in self.tickets.unseen]
        with self._stage(f"Rolling back to version {before}, and forward to {after}"):
            newer = self._ask(texts, after)
            self.client.versions.rollback(PROJECT)
            older = self._ask(texts, before)
            self.client.versions.move_alias(PROJECT, after, expected_version=before)
            again = self._ask(texts, after)
        moved = max(_difference(_scores(one), _scores(other)) for one, other in zip(again, newer, strict=True))
        if moved > MAX_ABS_DIFF:
            raise Disagreement(f"version {after} answers otherwise than before it was rolled back, by {moved:.1e}")
        changed = sum(one.label != other.label for one, other in zip(older, newer, strict=True))
        apart = max(_difference(_scores(one), _scores(other)) for one, other in zip(older, newer, strict=True))
        self.console.print(
            f"  the two versions differ in {changed} of {len(texts)} labels, in scores by up to {apart:.2f}"
        )
        self.console.print(tables.accuracy(self._right(newer), len(texts), after))

    def export(self, version: int, folder: Path) -> None:
        with self._stage(f"Exporting version {version} to ONNX"):
            export = self.client.exports.wait(self.client.exports.create(PROJECT, version), timeout_s=PATIENCE_S)
            if export.status != "succeeded":
                raise Disagreement(f"the export {export.status}: {export.problem}")
            archive = self.client.exports.download(export, folder / "export.zip")
            with zipfile.ZipFile(archive) as packed:
                packed.extractall(folder / "export")
        self.console.print(tables.export(export))
        texts = [text for text, _ in self.tickets.unseen][:SHOWN_ROWS]
        with self._stage("Running the export in a process of its own, beside the service"):
            alone = _run_export(folder / "export", texts)
            served = self._ask(texts, version)
        differences = [_difference(one, _scores(other)) for one, other in zip(alone, served, strict=True)]
        self.console.print(tables.side_by_side(served, alone, differences))
        if max(differences) > MAX_ABS_DIFF:
            raise Disagreement(f"export and service differ by {max(differences):.1e}, more than {MAX_ABS_DIFF:.0e}")

    def _ask(self, texts: Sequence[str], expected: int) -> Predictions:
        """Answers of the live version, which must be the one expected."""
        answers = self.client.predict(PROJECT, texts, top_k=ALL_LABELS)
        if answers.version != expected:
            raise Disagreement(f"version {answers.version} answers, {expected} should be live")
        for answer in answers:
            if answer.problem is not None:
                raise answer.problem
        return answers

    def _right(self, answers: Predictions) -> int:
        """How many of the unseen texts got their own label."""
        return sum(answer.label == truth for answer, (_, truth) in zip(answers, self.tickets.unseen, strict=True))

    def _done(self, adaptation: Adaptation) -> Adaptation:
        done = self.client.adaptations.wait(adaptation, timeout_s=PATIENCE_S)
        if done.status != "succeeded":
            raise Disagreement(f"the adaptation {done.status}: {done.problem}")
        return done

    @contextmanager
    def _stage(self, title: str) -> Generator[None]:
        with timed(self.console, title):
            yield


@contextmanager
def timed(console: Console, title: str) -> Generator[None]:
    """A heading with the time its block took."""
    started = time.perf_counter()
    with console.status(title):
        yield
    console.print(f"\n[bold]{title}[/]  [dim]{time.perf_counter() - started:.2f} s[/]")


def run(console: Console, tickets: Tickets, folder: Path) -> None:
    """Every step, on a service started and ended here. Raises Disagreement; then the log's end was shown."""
    log = folder / "service.log"
    console.print("Starting the service; where none was started before, it compiles the network first, some 20 s.")
    started = time.perf_counter()
    try:
        # In fp32, as exports are: the two can be compared to the last digit, which rounding in bf16 would hide.
        env = {"TMPDIR": str(folder), "TSUGIKI_ENGINE": "onnxruntime"}
        with serving(_home(folder), env=env, log=log) as running:
            console.print(f"[bold]Service started[/]  [dim]{time.perf_counter() - started:.2f} s[/]  {running.url}")
            with Client(running.url, running.key) as client:
                demo = Demo(console, client, tickets)
                first = _number(demo.adapt())
                demo.predict_unseen(first)
                second = demo.learn_more(first)
                demo.back_and_forward(first, second)
                demo.export(second, folder)
    except Exception:
        if log.exists():
            console.print(
                "\nThe service's log ends:", *log.read_text().splitlines()[-SHOWN_LOG:], sep="\n", markup=False
            )
        raise


def main(arguments: Sequence[str]) -> int:
    console = Console()
    path = Path(arguments[0] if arguments else os.environ.get("DATA") or BUNDLED)
    # A plain kill must clean up as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    started = time.perf_counter()
    try:
        tickets = read_tickets(path)
        console.print(tables.data(path.name, tickets))
        with tempfile.TemporaryDirectory(prefix="tsugiki-demo-") as folder:
            run(console, tickets, Path(folder))
    except (Unreadable, Disagreement, TsugikiProblem, TimeoutError, OSError, httpx.TransportError) as error:
        console.print(f"\nThe demo failed: {error}", style="bold red", markup=False)
        return 1
    except KeyboardInterrupt:
        console.print("\nInterrupted; the service was ended and its files removed.")
        return 130
    console.print(f"\nDone in {time.perf_counter() - started:.1f} s; the service was ended and its files removed.")
    return 0


def _home(folder: Path) -> Path:
    """An empty home, but for networks which this machine's own service has compiled already."""
    home = folder / "home"
    compiled = read_settings().root / "graphs"
    if compiled.is_dir():
        shutil.copytree(compiled, home / "graphs")
    return home


def _run_export(folder: Path, texts: Sequence[str]) -> list[dict[str, float]]:
    """Label -> score for each text, by the exported program alone; isolated, so that it finds nothing of ours."""
    lines = "".join(json.dumps(text) + "\n" for text in texts)
    done = subprocess.run(
        [sys.executable, "-I", "predict.py", "--json"], cwd=folder, input=lines, text=True, capture_output=True
    )
    if done.returncode:
        raise Disagreement(f"predict.py of the export ended with {done.returncode}: {done.stderr.strip()}")
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    return [{score["label"]: score["score"] for score in answer["scores"]} for answer in answers]


def _scores(answer: Prediction) -> dict[str, float]:
    return {score.label: score.score for score in answer.scores}


def _difference(one: dict[str, float], other: dict[str, float]) -> float:
    """The largest difference of any label's score."""
    if one.keys() != other.keys():
        raise Disagreement(f"the export knows the labels {sorted(one)}, the service {sorted(other)}")
    return max(abs(one[label] - other[label]) for label in one)


def _number(adaptation: Adaptation) -> int:
    if adaptation.version is None:
        raise Disagreement("the adaptation succeeded without a version")
    return adaptation.version


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
