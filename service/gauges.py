"""What is read of a running core when its metrics are asked for."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from service.board import trainer_runs
from service.parts import WORKERS
from tsugiki.storage import FILE_NAME

if TYPE_CHECKING:
    from service.core import Core
    from tsugiki.monitoring import Gauges


def gauges_of(core: Core) -> Gauges:
    """Name -> help, and what reads it."""
    residency, backbones, root = core.residency, core.backbones, core.settings.root
    return {
        "ready": ("1 when a prediction would be answered now", lambda: core.why_not_ready() is None),
        "resident_grafts": ("grafts in memory", lambda: residency.resident_grafts),
        "resident_head_bytes": ("memory of resident heads", lambda: residency.resident.heads),
        "resident_lora_bytes": ("memory of resident LoRA matrices", lambda: residency.resident.loras),
        "resident_network_bytes": ("memory of resident networks", lambda: residency.resident.networks),
        "head_bank_bytes": ("memory of the banks that hold them, used or not", lambda: backbones.bank_bytes),
        "waiting_rows": ("rows queued for the engine", lambda: backbones.waiting),
        "waiting_adaptations": ("adaptations queued", lambda: core.fast_lane.waiting),
        "waiting_trainings": (
            "adaptations queued for the trainer, of all workers",
            lambda: core.deep_lane.waiting,
        ),
        "trainer_alive": ("1 while a trainer of this home runs", lambda: trainer_runs(root / WORKERS)),
        "disk_free_bytes": ("room on the disk of the home", lambda: shutil.disk_usage(root).free),
        "database_bytes": (
            "the database's files, where it is one of SQLite",
            lambda: sum(path.stat().st_size for path in root.glob(f"{FILE_NAME}*")),
        ),
    }
