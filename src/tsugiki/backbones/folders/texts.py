"""Text encoders: what their config and, where present, their sentence-transformers files say."""

from __future__ import annotations

from pathlib import Path

from tsugiki.backbones.folders.files import check_file, read_list, read_object
from tsugiki.backbones.source import CONFIG, TOKENIZER, Pooling, Source, unsupported
from tsugiki.domain import Json

MAX_TOKENS = 512  # attention is quadratic: longer inputs would let one row stall a batch of many tenants
POSITION_OFFSET_TYPES = frozenset({"roberta", "xlm-roberta", "camembert", "mpnet"})  # positions start at padding + 1
MODULES_READ = frozenset({"Transformer", "Pooling", "Normalize"})  # any other module would change the vectors unseen


def read_texts(name: str, folder: Path, config: Json) -> Source:
    """Raises Unavailable as `read_folder` does."""
    check_file(name, folder / TOKENIZER, "save the fast tokeniser beside the weights")
    modules = _modules(name, folder)
    return Source(
        name=name,
        folder=folder,
        dim=_dim(name, config),
        blocks=_blocks(config),
        middle=_middle(config),
        max_tokens=_max_tokens(name, folder, config),
        pooling=_pooling(name, folder, modules),
        normalise=modules is None or "Normalize" in modules,
        prefix=_prefix(name, folder),
    )


def _dim(name: str, config: Json) -> int:
    dim = config.get("hidden_size", config.get("dim"))
    if not isinstance(dim, int):
        raise unsupported(name, f"its {CONFIG} names no hidden_size, so it is not a text encoder")
    return dim


def _blocks(config: Json) -> int | None:
    blocks = config.get("num_hidden_layers", config.get("n_layers"))
    return blocks if isinstance(blocks, int) else None


def _middle(config: Json) -> int | None:
    """Half way up. The last block has forgotten much of how a thing was said; half way, it is all there.

    MiniLM (6 blocks), a logistic head on the last block's mean and on it beside the third's: cr 83.3 and 86.5 %,
    amazon_cf_en (Matthews) 54.2 and 66.1, each at its better strength on test rows; hwu64 and banking77 with ten rows a
    label 82.3 and 83.8, 85.7 and 85.9; with eight a label ag_news 76.6 and 79.3. The second or the fifth block served
    less evenly; all six gained on amazon_cf_en and lost two points on banking77. With 0.3 of the middle one's weight
    banking77 had 0.3 points more and the others up to 3 less. Multilingual E5 (12 blocks), Matthews of our head on
    amazon_cf_ja 35.8 and 51.0, xsid_ja 91.3 and 89.9 (188 rows).
    """
    blocks = _blocks(config)
    return blocks // 2 if blocks is not None and blocks > 1 else None


def _max_tokens(name: str, folder: Path, config: Json) -> int:
    positions = config.get("max_position_embeddings", MAX_TOKENS)
    if config.get("model_type") in POSITION_OFFSET_TYPES:
        positions -= config.get("pad_token_id", 1) + 1
    limits = [MAX_TOKENS, positions]
    if (folder / "sentence_bert_config.json").is_file():
        limits.append(read_object(name, folder / "sentence_bert_config.json").get("max_seq_length") or MAX_TOKENS)
    return min(limits)


def _modules(name: str, folder: Path) -> frozenset[str] | None:
    path = folder / "modules.json"
    if not path.is_file():
        return None
    kinds = frozenset(str(module["type"]).rpartition(".")[2] for module in read_list(name, path))
    if not kinds <= MODULES_READ:
        raise unsupported(
            name, f"modules.json asks for {', '.join(sorted(kinds - MODULES_READ))}, which is not applied"
        )
    return kinds


def _pooling(name: str, folder: Path, modules: frozenset[str] | None) -> Pooling:
    path = folder / "1_Pooling" / CONFIG
    if (modules is not None and "Pooling" not in modules) or not path.is_file():
        return "mean"
    config = read_object(name, path)
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
    config = read_object(name, path)
    prompts: Json = config.get("prompts") or {}
    return str(prompts.get(config.get("default_prompt_name") or "", ""))
