"""The service as a process: its environment, and what BentoML's command line is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from service.settings import Settings

# One library's thread pool beside another's on the same cores makes both crawl: the engine has its own threads,
# everything else gets one. Usage reports are off; an operator's own value wins.
ENVIRONMENT = {
    "BENTOML_DO_NOT_TRACK": "True",
    "HF_HUB_OFFLINE": "1",
    "MKL_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "ORT_DISABLE_TELEMETRY": "1",
    "RAYON_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
}


def arguments(settings: Settings, target: str = "service.app:App") -> list[str]:
    """Of `bentoml`: serve a bento by its tag, or the module's class, by these settings."""
    return [
        *("serve", target),
        *("--host", settings.host, "--port", str(settings.port)),
        *("--timeout-graceful-shutdown", str(settings.drain_seconds)),
    ]
