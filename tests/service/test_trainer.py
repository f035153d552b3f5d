"""The trainer started by hand: where there is nothing for it to do, and where a service leaves it to somebody."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from service.parts import WORKERS, engines_of, serve_backbones
from service.settings import Settings
from service.trainer import Trainables
from service.wiring import wire
from tests.faults.several import soon
from tests.jobs.deep import measured
from tests.jobs.working import SOON_S
from tsugiki.backbones import Loaded
from tsugiki.data.decoding.pool import DecoderPool
from tsugiki.ports import Backbone, Trainable
from tsugiki.runtime.engines.making import Cores
from tsugiki.training import rates


def test_a_home_that_no_service_has_made_is_refused_in_one_line_that_says_what_to_do(tmp_path: Path) -> None:
    home = tmp_path / "nothing"
    done = subprocess.run(
        [sys.executable, "-m", "service.trainer"],
        env={**os.environ, "TSUGIKI_HOME": str(home), "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert str(home) in done.stderr and "python -m service" in done.stderr
    assert not home.exists()


def test_a_service_whose_trainer_runs_elsewhere_starts_none(make_home: Callable[[], Path], tiny: Loaded) -> None:
    for beside in (True, False):  # the first is the control
        values: dict[str, Any] = {"home": make_home(), "backbones": {"tiny": tiny.source.folder}, "trainer": True}
        settings = Settings(**values, text_backbone="tiny", engine="onnxruntime", trainer_beside=beside)
        with closing(wire(settings)) as core:
            assert (core.keeper is not None) == beside
            assert core.settings.trainer


@contextmanager
def trainables(home: Path, tiny: Loaded) -> Generator[Trainables]:
    """As a trainer of one thread has them."""
    values: dict[str, Any] = {"home": home, "backbones": {"tiny": tiny.source.folder}}
    settings = Settings(**values, text_backbone="tiny", engine="onnxruntime")
    (settings.root / WORKERS).mkdir()
    engines = engines_of(settings, Cores(1, 1))
    with closing(DecoderPool(1)) as decoder, closing(serve_backbones(settings, engines, 1, decoder)) as backbones:
        yield Trainables(backbones, engines.preferred, threads=1)


def test_training_takes_its_threads_also_where_its_pace_was_measured_before(
    make_lone_home: Callable[[], Path], tiny: Loaded
) -> None:
    import torch

    before = torch.get_num_threads()
    with trainables(measured(make_lone_home(), tiny), tiny) as made:
        backbone = made.backbone("tiny")
        assert isinstance(backbone, Trainable) and backbone.rates.measured
        torch.set_num_threads(3)  # as torch finds the machine, or the environment tells it
        try:
            backbone.network()
            assert torch.get_num_threads() == 1
        finally:
            torch.set_num_threads(before)


def test_jobs_that_begin_together_do_not_measure_beside_one_another(
    make_lone_home: Callable[[], Path], tiny: Loaded, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(rates, "BURST_S", 0.2)
    together = threading.Barrier(2, timeout=SOON_S)

    def begin(made: Trainables) -> Backbone:
        together.wait()
        return made.backbone("tiny")

    with trainables(make_lone_home(), tiny) as made, ThreadPoolExecutor(2) as pool, caplog.at_level(logging.INFO):
        first, second = pool.map(begin, [made, made])
    assert isinstance(first, Trainable) and isinstance(second, Trainable)
    assert first.rates.measured and first.rates == second.rates
    assert caplog.text.count("tokens/s by") == 1


def test_a_trainer_beside_the_service_hears_of_the_threads_of_one_job(
    make_home: Callable[[], Path], tiny: Loaded, tmp_path: Path
) -> None:
    told = tmp_path / "told"
    tell = "import os, pathlib; pathlib.Path(os.environ['TOLD']).write_text(os.environ['OMP_NUM_THREADS'])"
    values: dict[str, Any] = {"home": make_home(), "backbones": {"tiny": tiny.source.folder}, "trainer": True}
    settings = Settings(**values, text_backbone="tiny", engine="onnxruntime", trainer_threads=4, trainer_jobs=2)
    command = (sys.executable, "-c", tell)
    with closing(wire(settings, trainer=command, environment={**os.environ, "TOLD": str(told)})):
        assert soon(lambda: told.exists() and told.read_text() == "2", SOON_S)
