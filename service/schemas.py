"""What requests look like on the wire. Strict: no unknown field, no coercion, no NaN, no input quoted in an error."""

from __future__ import annotations

from typing import Annotated, Any, Literal, cast

import orjson
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema

from service.tuning import tuning_told
from tsugiki.domain import MAX_LABELS, ROW_FINDINGS, FixAction, MethodName, Modality, Promotion, RowFinding, Scope, Task

VersionNumber = Annotated[int, Field(ge=1, lt=2**31)]  # as wide as the databases' column


def _storable(value: str) -> str:
    # SQLite takes NUL, PostgreSQL does not; pydantic itself refuses lone surrogates.
    if "\0" in value:
        raise ValueError("must not hold a NUL character")
    return value


def _storable_object(value: dict[str, Any]) -> dict[str, Any]:
    try:
        text = orjson.dumps(value)
    except TypeError:
        raise ValueError("must hold plain JSON without lone surrogates") from None
    if b"\\u0000" in text or len(text) > MAX_METADATA_BYTES:
        raise ValueError(f"must be at most {MAX_METADATA_BYTES:,} bytes and hold no NUL character")
    return value


def _labels(value: Any) -> Any:  # Any: as it comes
    if value is None or isinstance(value, str):
        return value
    if not isinstance(value, list) or not all(isinstance(name, str) for name in cast(list[object], value)):
        raise ValueError("must be a string, or a list of strings")
    if len(cast(list[object], value)) > MAX_LABELS:
        raise ValueError(f"must be at most {MAX_LABELS:,} strings")
    return cast(list[str], value)


def _not_an_id(value: str) -> str:
    if value.startswith("proj_"):
        raise ValueError("must not begin like an id (proj_)")
    return value


MAX_INPUTS = 1_024  # of a request for predictions
MAX_ROWS = 10_000  # samples of a request
MAX_METADATA_BYTES = 16_384  # metadata describes a sample; larger things belong elsewhere

Told = Annotated[
    Any,
    AfterValidator(_labels),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}, {"type": "null"}]}),
]
Labels = Annotated[list[str] | None, Field(max_length=MAX_LABELS, description="of a multi_label project; may be empty")]
Text = Annotated[str, AfterValidator(_storable)]
Metadata = Annotated[dict[str, Any], AfterValidator(_storable_object)]
Slug = Annotated[
    str,
    Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$", description="lower case, digits, - and _; not like an id"),
    AfterValidator(_not_an_id),
]
Name = Annotated[Text, Field(min_length=1, max_length=100)]
AliasName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]
Wait = Annotated[float, Field(ge=0, le=60, description="seconds the reply may wait for the adaptation")]
# Anything else is refused row by row, so that the others live.
Input = Annotated[
    Any,
    Field(description="of a text project a string, of the others a file: {'base64': '…'}. No URL: none is fetched"),
]
MethodWish = Literal["auto", MethodName]
Inputs = Annotated[list[Input], Field(min_length=1, max_length=MAX_INPUTS)]


class Wire(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True, allow_inf_nan=False)


class LabelIn(Wire):
    name: Name
    description: Text | None = Field(None, max_length=2_000)


class Abstain(Wire):
    target_precision: float = Field(
        gt=0,
        lt=1,
        description="the part of what is answered that is right, as held-out samples show; in a multi_label project "
        "right is who has exactly these labels",
    )


class PolicyIn(Wire):
    adapt: Literal["auto", "manual"] = "auto"
    promote: Literal["gate", "manual"] = "gate"
    abstain: Abstain | None = None
    capture: dict[str, Any] = Field(default_factory=dict[str, Any], max_length=0, description="nothing is captured yet")
    quarantine: list[RowFinding] = Field(
        default_factory=list[RowFinding],
        max_length=len(ROW_FINDINGS),
        description="codes of an audit's findings: samples found so (the surest, a fifth of a label's at most) are "
        "not trained on from then on, until somebody relabels or keeps them",
    )


class ProjectIn(Wire):
    name: Slug
    modality: Modality = "text"
    task: Task = "single_label"
    labels: list[LabelIn] | None = Field(None, max_length=1_000)
    backbone: str = Field("auto", max_length=100)
    policy: PolicyIn = Field(default_factory=PolicyIn)


class ProjectPatch(Wire):
    name: Slug | None = None
    labels: list[LabelIn] | None = Field(None, max_length=1_000)
    policy: PolicyIn | None = None
    backbone: str | None = Field(None, max_length=100)


class SampleIn(Wire):
    """Row errors are the row's own: only the shape of the row is checked here."""

    input: Input = None
    label: Told = None
    labels: Labels = None
    external_id: Text | None = Field(None, max_length=256)
    source: Text | None = Field(None, max_length=256)
    metadata: Metadata | None = None


class SamplesIn(Wire):
    samples: list[SampleIn] = Field(min_length=1, max_length=MAX_ROWS)


class LabelChange(Wire):
    """The label, or in a multi_label project the labels, by either field; one of them is needed."""

    label: Told = None
    labels: Labels = None


class FixIn(Wire):
    """One decision; row errors are the row's own."""

    sample: Annotated[Text, Field(min_length=1, max_length=64)]
    action: FixAction
    label: Told = Field(None, description="the right one, with relabel; or the right ones")
    labels: Labels = None
    expected_label: Text | None = Field(None, max_length=256, description="the label that was looked at")
    expected_labels: Labels = Field(None, max_length=MAX_LABELS, description="the labels that were looked at")
    codes: list[RowFinding] | None = Field(None, min_length=1, max_length=len(ROW_FINDINGS), description="for keep")


class FixesIn(Wire):
    fixes: list[FixIn] = Field(min_length=1, max_length=1_000)


class BudgetIn(Wire):
    seconds: float = Field(
        gt=0, le=86_400, description="of all that an adaptation does; one that follows by itself has as many again"
    )


class NothingIn(Wire):
    """For what needs no words: a body may be left out, or be empty."""


class AdaptationIn(Wire):
    method: MethodWish = "auto"
    budget: BudgetIn | None = None
    hyperparameters: Annotated[dict[str, Any], Field(max_length=32, description=tuning_told())] | None = None
    promote: Promotion = "gate"
    dry_run: bool = False
    wait_seconds: Wait = 0
    backbone: str | None = Field(
        default=None, max_length=100, description="the project's, or auto: it is changed by PATCH of the project only"
    )


class AdaptIn(Wire):
    """The verb: samples and adaptation in one call; the project is made if it is new."""

    project: Annotated[str, Field(pattern=r"^([a-z0-9][a-z0-9_-]{0,62}|proj_[0-9A-Z]{26})$")]
    modality: Modality = Field("text", description="of a project that is new")
    task: Task = Field("single_label", description="ditto")
    samples: list[SampleIn] = Field(default_factory=list[SampleIn], max_length=MAX_ROWS)
    method: MethodWish = "auto"
    wait_seconds: Wait = 10


class PredictIn(Wire):
    inputs: Inputs
    top_k: int = Field(default=1, ge=1, le=1_000)
    truncate: Literal["END", "NONE"] = "END"


class PredictVerb(PredictIn):
    project: str = Field(min_length=1, max_length=100)
    version: VersionNumber | None = None
    alias: AliasName = "live"


class PredictQuery(BaseModel):
    """Of the path that names the project; a query is text, so numbers are read from it."""

    version: VersionNumber | None = None
    alias: AliasName = "live"


class AliasMoveIn(Wire):
    version: VersionNumber
    expected_version: VersionNumber | None = None


class RollbackIn(Wire):
    alias: AliasName = "live"


class ExportIn(Wire):
    format: Literal["onnx"] = "onnx"
    precision: Literal["fp32", "int8"] = "fp32"
    wait_seconds: Wait = 0


class RecommendIn(Wire):
    modality: Modality = "text"
    language: str | None = Field(default=None, max_length=35, description="BCP 47; its first part counts")
    project: str | None = Field(default=None, max_length=100)


class TenantIn(Wire):
    name: Slug


class KeyIn(Wire):
    name: Name = "key"
    scopes: list[Scope] = Field(default_factory=lambda: ["predict", "annotate", "adapt"], min_length=1)
    expires_in_seconds: int | None = Field(None, ge=1, le=10 * 366 * 86_400)


class QuotaIn(Wire):
    """A limit left out is no limit beyond the service's own."""

    requests_per_second: float | None = Field(None, gt=0)
    projects: int | None = Field(None, ge=0)
    samples: int | None = Field(None, ge=0)
    bytes: int | None = Field(None, ge=0, description="of files of samples, versions, exports")
