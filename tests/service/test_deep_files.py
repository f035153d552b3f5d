"""A whole training on pictures: sent, trained by the real trainer, live and answering, through the service."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from service.launch import Running, serving
from tests.adapters.lessons import contents_of
from tests.folders import write_folder
from tsugiki.client import Client

SOON_S = 240.0  # a trainer begins by loading torch, and compiles the network if it comes before the service
COUNTS = [16, 16]


@pytest.fixture
def running(make_home: Callable[[], Path], tiny_environment: dict[str, str], tmp_path: Path) -> Iterator[Running]:
    tiny = json.loads(tiny_environment["TSUGIKI_BACKBONES"])
    folder = write_folder("vit", tmp_path / "vit")
    env = {
        "TSUGIKI_TRAINER": "on",
        "TSUGIKI_BACKBONES": json.dumps({**tiny, "vit": str(folder)}),
        "TSUGIKI_OFFERED": json.dumps(["tiny", "vit"]),
        "TSUGIKI_IMAGE_BACKBONE": "vit",
    }
    with serving(make_home(), env={**tiny_environment, **env}) as made:
        yield made


def test_lora_is_trained_on_pictures_and_answers_them(running: Running) -> None:
    contents, targets = contents_of("image", COUNTS)
    rows = [(content, f"tint {target}") for content, target in zip(contents, targets, strict=True)]
    asked, truth = contents_of("image", [8, 8], seed=1)
    with Client(running.url, running.key, timeout_s=SOON_S) as client:
        client.projects.create("tinted", modality="image")
        client.samples.add("tinted", rows)
        hyperparameters = {"epochs": 2, "rank": 4}
        job = client.adaptations.start("tinted", method="lora", promote="always", hyperparameters=hyperparameters)
        done = client.adaptations.wait(job, timeout_s=SOON_S)
        assert (done.status, done.problem) == ("succeeded", None)
        version = client.versions.get("tinted", done.version or 0)
        assert (version.method, client.projects.get("tinted").backbone) == ("lora", "vit")
        details = version.raw["lineage"]["details"]
        assert (details["rank"], details["epochs"], details["top_blocks"]) == (4, 2, 1)
        answers = client.predict("tinted", asked)
    right = [answer.label == f"tint {target}" for answer, target in zip(answers, truth, strict=True)]
    assert np.mean(right) > 0.7
