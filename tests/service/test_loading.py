"""Networks that a service loads beside its default, for `auto` to try."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from service.settings import Settings
from service.wiring import wire
from tests.jobs.working import SOON_S, adapt, samples
from tsugiki.backbones import Loaded
from tsugiki.jobs.choosing import FEWEST_ROWS


def test_what_is_loaded_at_the_start_is_tried_on_samples(make_home: Callable[[], Path], tiny: Loaded) -> None:
    values: dict[str, Any] = {"home": make_home(), "backbones": dict.fromkeys(("tiny", "twin"), tiny.source.folder)}
    values |= {"text_backbone": "tiny", "engine": "onnxruntime", "loaded": ("absent", "twin"), "trainer": False}
    values["bootstrap_key"] = "tsk_of-the-loading-test"
    with closing(wire(Settings(**values))) as core:
        for thread in threading.enumerate():
            if thread.name == "warm-up":
                thread.join(SOON_S)
        assert core.backbones.ready("twin") is not None
        tenant = core.tenants.list().data[0]
        made = core.projects.create(tenant.id, "open", "text", "single_label", "tiny", backbone_open=True)
        core.samples.add(made.id, samples(FEWEST_ROWS // 2))
        plan = adapt(core, core.fast_lane, made).plan
        assert plan is not None
        told = " ".join(plan["reasons"])
        assert "tiny, no other is better beyond chance; tried: " in told
        assert told.count(f"of {FEWEST_ROWS} held out") == 2
        assert not core.projects.owned(made.id).backbone_open
