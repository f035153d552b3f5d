import json
import shutil
from pathlib import Path

import pytest

from tsugiki.backbones import read_folder
from tsugiki.backbones.source import decode, encode
from tsugiki.errors import Unavailable


@pytest.fixture
def folder(tiny_folder: Path, tmp_path: Path) -> Path:
    return shutil.copytree(tiny_folder, tmp_path / "model")


def write(path: Path, content: object) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content))


def test_plain_folder_is_mean_pooled_and_normalised_up_to_its_positions(folder: Path) -> None:
    source = read_folder("mine", folder)
    assert (source.pooling, source.normalise, source.max_tokens, source.dim, source.prefix) == (
        "mean",
        True,
        64,
        32,
        "",
    )


def test_sentence_transformers_files_are_respected(folder: Path) -> None:
    write(folder / "modules.json", [{"type": f"sentence_transformers.models.{m}"} for m in ("Transformer", "Pooling")])
    write(folder / "1_Pooling/config.json", {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False})
    write(folder / "sentence_bert_config.json", {"max_seq_length": 16})
    prompts = {"prompts": {"query": "query: "}, "default_prompt_name": "query"}
    write(folder / "config_sentence_transformers.json", prompts)
    source = read_folder("mine", folder)
    assert (source.pooling, source.normalise, source.max_tokens, source.prefix) == ("cls", False, 16, "query: ")


def test_positions_before_the_first_token_are_not_counted(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    write(folder / "config.json", config | {"model_type": "roberta", "max_position_embeddings": 66, "pad_token_id": 1})
    assert read_folder("mine", folder).max_tokens == 64


@pytest.mark.parametrize("pickle", ["pytorch_model.bin", "model.pt", "weights.pkl"])
def test_pickled_weights_are_refused_with_the_reason(folder: Path, pickle: str) -> None:
    (folder / "model.safetensors").rename(folder / pickle)
    with pytest.raises(Unavailable, match="may run code") as refused:
        read_folder("mine", folder)
    assert refused.value.reason == "backbone_unsupported"
    assert pickle in refused.value.detail


@pytest.mark.parametrize(
    ("file", "content", "named"),
    [
        ("config.json", {"hidden_size": 32, "auto_map": {"AutoModel": "evil.Model"}}, "auto_map"),
        ("config.json", {"model_type": "resnet"}, "hidden_size"),
        ("config.json", [], "not a JSON object"),
        ("modules.json", [{"type": "sentence_transformers.models.Dense"}], "Dense"),
        ("1_Pooling/config.json", {"pooling_mode_max_tokens": True}, "pooling_mode_max_tokens"),
        ("1_Pooling/config.json", {"pooling_mode_max_tokens": True, "pooling_mode_mean_tokens": True}, "max"),
        ("1_Pooling/config.json", {"pooling_mode": "lasttoken"}, "lasttoken"),
    ],
)
def test_what_would_need_code_or_a_guess_is_refused(folder: Path, file: str, content: object, named: str) -> None:
    write(folder / file, content)
    with pytest.raises(Unavailable, match=named) as refused:
        read_folder("mine", folder)
    assert refused.value.reason == "backbone_unsupported"


@pytest.mark.parametrize("file", ["model.safetensors", "config.json", "tokenizer.json"])
def test_missing_file_is_named(folder: Path, file: str) -> None:
    (folder / file).unlink()
    with pytest.raises(Unavailable, match=file) as refused:
        read_folder("mine", folder)
    assert refused.value.reason == "backbone_missing"


def test_source_survives_its_way_to_the_compiling_process(folder: Path) -> None:
    source = read_folder("mine", folder)
    assert decode(encode(source)) == source
