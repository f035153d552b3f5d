"""A trainer with a deep method that is held, or fails, as a test wants. `python -m tests.jobs.deep PARENT`."""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from adapters import METHODS
from adapters.head import HeadMethod
from service.core import Core
from service.settings import Settings, read_settings
from service.supervision import end_with
from service.trainer import train
from service.wiring import wire
from tests.unpickling import forbid_unpickling
from tsugiki.backbones import Loaded
from tsugiki.domain import Budget, Fitted, MethodName, Profile, TrainingSet, Verdict
from tsugiki.jobs.deep_jobs import Step, StepName
from tsugiki.jobs.deep_lane import DEEP
from tsugiki.ports import Backbone, Method, Progress
from tsugiki.training.rates import FORMAT, rates_file

COMMAND = (sys.executable, "-m", "tests.jobs.deep")
KEY = "tsk_of-the-trainer-tests"
LOOK_S = 0.01
HOLD, LACKING, FITTED = "hold", "lacking", "fitted"  # files in a home: see `Held`
OOM = "oom"  # a file in a home that counts what the kernel ended for its memory, where that is told
DIE = "die"  # a file in a home that names a step, before or after which the trainer is killed; see `dying`


@dataclass(frozen=True, slots=True)
class Held:
    """The head, with its hyperparameters, under a deep one's name, fitted for real once its home has no file `hold`.

    It counts its fits in the file `fitted`, and meets a lack of memory while there is a file `lacking`, which
    says whose: numpy's or torch's.
    """

    home: Path
    name: MethodName = "lora"
    method: HeadMethod = field(default_factory=HeadMethod)

    def assess(self, profile: Profile, budget: Budget) -> Verdict:
        return replace(self.method.assess(profile, budget), method=self.name)

    def fit(self, backbone: Backbone, data: TrainingSet, budget: Budget, progress: Progress) -> Fitted:
        assert len(data.rows) == len(data.features) and all(row.row.ndim == 1 and row.size for row in data.rows)
        assert len(data.name_rows) == (0 if data.names is None else len(data.labels))
        assert all(row.size for of_label in data.name_rows for row in of_label)
        progress.phase("train", 0.1)
        never = threading.Event()
        while (self.home / HOLD).exists():
            progress.check()
            never.wait(LOOK_S)
        if (lacking := self.home / LACKING).exists():
            _lack(lacking.read_text())
        with (self.home / FITTED).open("a") as file:
            file.write("x")
        found = self.method.fit(backbone, data, budget, progress)
        return replace(found, graft=replace(found.graft, method=self.name))


def methods(home: Path) -> tuple[Method, ...]:
    return (*(method for method in METHODS if method.name not in DEEP), Held(home))


@contextmanager
def core_with_trainer(home: Path, backbone: Path, **settings: object) -> Generator[Core]:
    """The whole core in the test's process, and a real trainer beside it, of the same home and methods.

    A trainer that was killed is followed by the next at once.
    """
    values: dict[str, Any] = {
        "home": home,
        "backbones": {"tiny": backbone},
        "text_backbone": "tiny",
        "engine": "onnxruntime",
        "engine_workers": 1,
        "trainer": True,
        "trainer_threads": 1,
        **settings,
    }
    made = Settings(**values, bootstrap_key=KEY)  # pyright: ignore[reportArgumentType]  # as text
    core = wire(made, methods(home), COMMAND, environment_of(made), [home / OOM], (0.0, 0.0))
    try:
        yield core
    finally:
        core.close()


def measured(home: Path, tiny: Loaded) -> Path:
    """The home, as if a trainer had measured the backbone there: for that, it takes some seconds and loads torch."""
    path = home / "graphs" / rates_file(tiny, "onnxruntime", 1).name
    path.write_text(json.dumps({"format": FORMAT, "forward": 1e5, "backward": 1e4, "device": "cpu"}))
    return home


def environment_of(settings: Settings) -> dict[str, str]:
    """What makes another process read the same settings."""
    return {**os.environ, **{f"TSUGIKI_{name.upper()}": value for name, value in _texts(settings).items()}}


def dying(home: Path) -> Callable[[Step], Step]:
    """Kill -9 of the own process as the home's file `die` says: `train before` once, `train before always` always."""

    def around(step: Step) -> Step:
        def mortal(name: StepName, do: Callable[[], dict[str, Any]]) -> dict[str, Any]:
            def inner() -> dict[str, Any]:
                _die(home, f"{name} before")
                told = do()
                _die(home, f"{name} after")
                return told

            return step(name, inner)

        return mortal

    return around


def _lack(whose: str) -> None:
    """Ask for more than the process may have, by a limit of its own as a container's would be."""
    limits = resource.getrlimit(resource.RLIMIT_AS)
    import torch  # before: its libraries need room too

    taken = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (taken + (64 << 20), limits[1]))
    try:
        if whose == "torch":
            torch.ones(1 << 30)
        else:
            np.ones(1 << 30)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)


def _die(home: Path, here: str) -> None:
    wanted = home / DIE
    point = wanted.read_text() if wanted.exists() else ""
    if point == here:
        wanted.unlink()
    if point in (here, f"{here} always"):
        if (counter := home / OOM).exists():  # as the kernel does when it is the one who kills
            counter.write_text(f"oom_kill {int(counter.read_text().split()[1]) + 1}\n")
        os.kill(os.getpid(), signal.SIGKILL)


def _texts(settings: Settings) -> dict[str, str]:
    secret = {"bootstrap_key", "database_url", "metrics_token"}
    simple = json.loads(settings.model_dump_json(exclude=secret, exclude_none=True))
    if settings.database_url is not None:
        simple["database_url"] = settings.database_url.get_secret_value()
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in simple.items()}


def main() -> None:
    forbid_unpickling()
    end_with(int(sys.argv[1]))
    settings = read_settings()
    train(settings, methods(settings.root), pauses_s=(0.0, 0.0), around=dying(settings.root))


if __name__ == "__main__":
    main()
