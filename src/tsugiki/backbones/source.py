"""Where a backbone comes from and how its folder says it must be read."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from tsugiki.backbones.hearing import Fbank, Hearing, Wave
from tsugiki.backbones.mel import HOP, POSITION, SAMPLE_RATE
from tsugiki.data.decoding.images import View
from tsugiki.domain import Modality
from tsugiki.errors import Unavailable

Pooling = Literal["mean", "cls", "cls+mean"]
# A module of `networks` each.
NetworkKind = Literal["transformers", "e5", "ngrams", "efficientnet", "whisper", "vit", "wav2vec2", "spectrogram"]

WEIGHTS = "model.safetensors"  # the one weights format without code in it (invariant I9)
TOKENIZER = "tokenizer.json"
CONFIG = "config.json"
PREPROCESSOR = "preprocessor_config.json"


@dataclass(frozen=True, slots=True)
class Levels:
    """What a pixel's 0 to 255 become before the network: less `middle`, divided by `spread`, by colour."""

    middle: tuple[float, float, float]
    spread: tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Source:
    """Weights in a folder, the network they are of, and the way to turn what it yields into one feature vector.

    `dim` is of what the network yields a token (position, place), `blocks` how many it has (None: not told), `middle`
    the one whose yield is pooled beside the last one's (None: the last alone, as where there is but one block), of
    `middle_dim` numbers (None: `dim`).
    `max_tokens` bounds a text, special tokens counted; of pictures, it is how many tokens each counts in a pass.
    `prefix` is put before every text, and `tokens` is the file that it is tokenised by (see tokens.py). `view` is how a
    picture is cut and `levels` how its pixels are scaled (None: as the network's module says), `seconds` how long a
    sound may be and `hearing` what becomes of it (None: Whisper's frames). `expected_sha256` pins the weights, None
    records whatever they are at start.
    """

    name: str
    folder: Path
    dim: int
    max_tokens: int = 0
    network: NetworkKind = "transformers"
    file: str = WEIGHTS
    tokens: str = TOKENIZER
    blocks: int | None = None
    middle: int | None = None
    middle_dim: int | None = None
    pooling: Pooling = "mean"
    normalise: bool = True
    prefix: str = ""
    modality: Modality = "text"
    view: View | None = None
    levels: Levels | None = None
    hearing: Hearing | None = None
    seconds: float = 0.0
    languages: tuple[str, ...] = ()
    licence: str = "unstated"
    expected_sha256: str | None = None

    @property
    def widths(self) -> tuple[int, ...]:
        """Of the pooled vectors that a feature is joined from."""
        last = (self.dim,) * (2 if self.pooling == "cls+mean" else 1)
        return last if self.middle is None else (*last, self.middle_dim or self.dim)

    @property
    def feature_dim(self) -> int:
        return sum(self.widths)

    @property
    def longest(self) -> int:
        """Of rows: tokens, Whisper's frames, samples; 0 where all are of one length."""
        if self.modality == "text":
            return self.max_tokens
        if self.modality == "image" or isinstance(self.hearing, Fbank):
            return 0
        return round(self.seconds * SAMPLE_RATE / (1 if isinstance(self.hearing, Wave) else HOP))

    @property
    def attends(self) -> bool:
        """Whether the network has attention, in which a row meets its padding."""
        return self.network not in ("ngrams", "efficientnet")

    def positions(self, length: int) -> int:
        """That the network has of a row so long."""
        if self.modality == "text":
            return length
        return self.hearing.positions(length) if isinstance(self.hearing, Wave) else length * HOP // POSITION

    def length(self, positions: int) -> int:
        """Of the shortest row that has so many, though no longer than the longest."""
        if self.modality == "text":
            needed = positions
        elif isinstance(self.hearing, Wave):
            needed = self.hearing.samples(positions)
        else:
            needed = positions * POSITION // HOP
        return min(needed, self.longest)

    @property
    def weights(self) -> Path:
        return self.folder / self.file

    @property
    def pooled(self) -> str:
        """How features are made of what the blocks yield: part of the feature space's identity."""
        joined = "" if self.middle is None else f"+mean of block {self.middle}"
        made = f"{self.pooling}{joined}{'+l2' if self.normalise else ''}"
        return made if self.network == "transformers" else f"{self.network}: {made}"

    @property
    def tokenizer(self) -> Path:
        return self.folder / self.tokens

    @property
    def config(self) -> Path:
        return self.folder / CONFIG


def encode(source: Source) -> str:
    """The source as JSON, for the process that compiles it."""
    return json.dumps(asdict(source) | {"folder": str(source.folder)})


def decode(text: str) -> Source:
    fields = json.loads(text)
    fields["folder"] = Path(fields["folder"])
    fields["languages"] = tuple(fields["languages"])
    if fields["view"] is not None:
        fields["view"] = View(**fields["view"])
    if fields["levels"] is not None:
        fields["levels"] = Levels(**{name: tuple(values) for name, values in fields["levels"].items()})
    match fields["hearing"]:
        case {"kernels": kernels, "strides": strides, **rest}:
            fields["hearing"] = Wave(kernels=tuple(kernels), strides=tuple(strides), **rest)
        case {"frames": _}:
            fields["hearing"] = Fbank(**fields["hearing"])
        case _:
            pass
    return Source(**fields)


def unsupported(name: str, found: str, fix: str = "") -> Unavailable:
    return Unavailable(f"backbone {name!r}: {found}", fix=fix, code="backbone_unsupported")
