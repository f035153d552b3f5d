"""Hugging Face folders that an operator names: what their files say becomes a Source, and nothing is guessed."""

from __future__ import annotations

from pathlib import Path

from tsugiki.backbones.folders.files import check_file, check_weights_file, read_object
from tsugiki.backbones.folders.pictures import PICTURES, read_pictures
from tsugiki.backbones.folders.sounds import SOUNDS
from tsugiki.backbones.folders.texts import read_texts
from tsugiki.backbones.source import CONFIG, PREPROCESSOR, Source, unsupported


def read_folder(name: str, folder: Path) -> Source:
    """The source in a folder; what its config says it is of decides whether it reads texts, pictures or sounds.

    Raises Unavailable: `backbone_missing`, or `backbone_unsupported` where reading it would need code or a guess.
    """
    check_weights_file(name, folder)
    check_file(name, folder / CONFIG)
    config = read_object(name, folder / CONFIG)
    if "auto_map" in config:
        raise unsupported(name, f"its {CONFIG} asks for code from the folder (auto_map), which is never run")
    kind = str(config.get("model_type"))
    if kind in PICTURES:
        return read_pictures(name, folder, config)
    if kind in SOUNDS:
        return SOUNDS[kind](name, folder, config)
    if (folder / PREPROCESSOR).is_file():
        read = ", ".join((*PICTURES, *SOUNDS))
        found = f"its {CONFIG} says model_type {kind!r}; of those with a {PREPROCESSOR}, {read} are read"
        raise unsupported(name, found, "name a folder of one of these")
    return read_texts(name, folder, config)
