"""Where a backbone comes from and how its folder says it must be read."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, cast

from tsugiki.data.decoding.images import View
from tsugiki.domain import Json, Modality
from tsugiki.errors import Unavailable

Pooling = Literal["mean", "cls"]
NetworkKind = Literal["transformers", "efficientnet", "whisper", "ngrams", "e5"]  # a module of `networks` each

WEIGHTS = "model.safetensors"  # the one weights format without code in it (invariant I9)
TOKENIZER = "tokenizer.json"
CONFIG = "config.json"
MAX_TOKENS = 512  # attention is quadratic: longer inputs would let one row stall a batch of many tenants
POSITION_OFFSET_TYPES = frozenset({"roberta", "xlm-roberta", "camembert", "mpnet"})  # positions start at padding + 1
PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.pickle")
MODULES_READ = frozenset({"Transformer", "Pooling", "Normalize"})  # any other module would change the vectors unseen


@dataclass(frozen=True, slots=True)
class Source:
    """Weights in a folder, the network they are of, and the way to turn what it yields into one feature vector.

    `dim` is of what the network yields a token (position, place), `middle` the block whose yield is pooled beside the
    last one's (None: the last alone, as where there is but one block). `max_tokens` bounds a text, special tokens
    counted; `prefix` is put before every text, and `tokens` is the file that it is tokenised by (see tokens.py). `view`
    is how a picture is cut, `seconds` how long a sound may be. `expected_sha256` pins the weights, None records
    whatever they are at start.
    """

    name: str
    folder: Path
    dim: int
    max_tokens: int = 0
    network: NetworkKind = "transformers"
    file: str = WEIGHTS
    tokens: str = TOKENIZER
    middle: int | None = None
    pooling: Pooling = "mean"
    normalise: bool = True
    prefix: str = ""
    modality: Modality = "text"
    view: View | None = None
    seconds: float = 0.0
    languages: tuple[str, ...] = ()
    licence: str = "unstated"
    expected_sha256: str | None = None

    @property
    def parts(self) -> int:
        """Pooled vectors that a feature is joined from, of `dim` numbers each."""
        return 1 if self.middle is None else 2

    @property
    def feature_dim(self) -> int:
        return self.parts * self.dim

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


def read_folder(name: str, folder: Path) -> Source:
    """The source in a folder, by its config and, where present, its sentence-transformers files.

    Raises Unavailable: `backbone_missing`, or `backbone_unsupported` where reading it would need code or a guess.
    """
    _check_files(name, folder)
    config = _read(name, folder / CONFIG)
    modules = _modules(name, folder)
    return Source(
        name=name,
        folder=folder,
        dim=_dim(name, config),
        middle=_middle(config),
        max_tokens=_max_tokens(name, folder, config),
        pooling=_pooling(name, folder, modules),
        normalise=modules is None or "Normalize" in modules,
        prefix=_prefix(name, folder),
    )


def encode(source: Source) -> str:
    """The source as JSON, for the process that compiles it."""
    return json.dumps(asdict(source) | {"folder": str(source.folder)})


def decode(text: str) -> Source:
    fields = json.loads(text)
    view = None if fields["view"] is None else View(**fields["view"])
    return Source(**fields | {"folder": Path(fields["folder"]), "languages": tuple(fields["languages"]), "view": view})


def unsupported(name: str, found: str, fix: str = "") -> Unavailable:
    return Unavailable(f"backbone {name!r}: {found}", fix=fix, code="backbone_unsupported")


def _check_files(name: str, folder: Path) -> None:
    if not folder.is_dir():
        raise Unavailable(f"backbone {name!r}: {folder} is not a folder", code="backbone_missing")
    if not (folder / WEIGHTS).is_file():
        pickled = sorted(path.name for pattern in PICKLED for path in folder.glob(pattern))
        if pickled:
            found = f"{folder} holds {', '.join(pickled)}: a pickle may run code when it is read, so it is never opened"
            raise unsupported(name, found, f"convert the weights to one {WEIGHTS}")
        raise Unavailable(f"backbone {name!r}: {folder / WEIGHTS} does not exist", code="backbone_missing")
    for file, fix in ((CONFIG, ""), (TOKENIZER, "save the fast tokeniser beside the weights")):
        if not (folder / file).is_file():
            raise Unavailable(f"backbone {name!r}: {folder / file} does not exist", fix=fix, code="backbone_missing")


def _dim(name: str, config: Json) -> int:
    if "auto_map" in config:
        raise unsupported(name, f"its {CONFIG} asks for code from the folder (auto_map), which is never run")
    dim = config.get("hidden_size", config.get("dim"))
    if not isinstance(dim, int):
        raise unsupported(name, f"its {CONFIG} names no hidden_size, so it is not a text encoder")
    return dim


def _middle(config: Json) -> int | None:
    """Half way up. The last block has forgotten much of how a thing was said; half way, it is all there.

    MiniLM (6 blocks), a logistic head on the last block's mean and on it beside the third's: cr 83.3 and 86.5 %,
    amazon_cf_en (Matthews) 54.2 and 66.1, each at its better strength on test rows; hwu64 and banking77 with ten rows a
    label 82.3 and 83.8, 85.7 and 85.9; with eight a label ag_news 76.6 and 79.3. The second or the fifth block served
    less evenly; all six gained on amazon_cf_en and lost two points on banking77. With 0.3 of the middle one's weight
    banking77 had 0.3 points more and the others up to 3 less. Multilingual E5 (12 blocks), Matthews of our head on
    amazon_cf_ja 35.8 and 51.0, xsid_ja 91.3 and 89.9 (188 rows).
    """
    blocks = config.get("num_hidden_layers", config.get("n_layers"))
    return blocks // 2 if isinstance(blocks, int) and blocks > 1 else None


def _max_tokens(name: str, folder: Path, config: Json) -> int:
    positions = config.get("max_position_embeddings", MAX_TOKENS)
    if config.get("model_type") in POSITION_OFFSET_TYPES:
        positions -= config.get("pad_token_id", 1) + 1
    limits = [MAX_TOKENS, positions]
    if (folder / "sentence_bert_config.json").is_file():
        limits.append(_read(name, folder / "sentence_bert_config.json").get("max_seq_length") or MAX_TOKENS)
    return min(limits)


def _modules(name: str, folder: Path) -> frozenset[str] | None:
    path = folder / "modules.json"
    if not path.is_file():
        return None
    kinds = frozenset(str(module["type"]).rpartition(".")[2] for module in _read_list(name, path))
    if not kinds <= MODULES_READ:
        raise unsupported(
            name, f"modules.json asks for {', '.join(sorted(kinds - MODULES_READ))}, which is not applied"
        )
    return kinds


def _pooling(name: str, folder: Path, modules: frozenset[str] | None) -> Pooling:
    path = folder / "1_Pooling" / CONFIG
    if (modules is not None and "Pooling" not in modules) or not path.is_file():
        return "mean"
    config = _read(name, path)
    flags = {"mean": "pooling_mode_mean_tokens", "cls": "pooling_mode_cls_token"}
    old = [key for key, on in config.items() if key.startswith("pooling_mode_") and on is True]
    for mode in ("mean", "cls"):
        if config.get("pooling_mode") == mode or old == [flags[mode]]:
            return mode
    raise unsupported(name, f"its pooling is {config.get('pooling_mode', old)}; mean and cls are read")


def _prefix(name: str, folder: Path) -> str:
    path = folder / "config_sentence_transformers.json"
    if not path.is_file():
        return ""
    config = _read(name, path)
    prompts: Json = config.get("prompts") or {}
    return str(prompts.get(config.get("default_prompt_name") or "", ""))


def _read(name: str, path: Path) -> Json:
    content = _json(name, path)
    if not isinstance(content, dict):
        raise unsupported(name, f"{path} is not a JSON object")
    return cast(Json, content)


def _read_list(name: str, path: Path) -> list[Json]:
    content = _json(name, path)
    if not isinstance(content, list):
        raise unsupported(name, f"{path} is not a JSON list")
    return cast(list[Json], content)


def _json(name: str, path: Path) -> Any:  # JSON is untyped until looked at
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise unsupported(name, f"{path} is not JSON: {error}") from error
