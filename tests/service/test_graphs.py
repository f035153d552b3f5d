from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from service.graphs import fill
from service.settings import Settings
from tsugiki.backbones import Loaded, load
from tsugiki.backbones.sites import covering, linear_shapes


def test_a_filled_folder_has_all_that_an_empty_home_needs(
    tiny: Loaded, make_lone_home: Callable[[], Path], tmp_path: Path
) -> None:
    folder = make_lone_home() / "graphs"  # compiled already
    backbones = {"tiny": tiny.source.folder}
    settings = Settings(backbones=backbones, engine="onnxruntime")  # pyright: ignore[reportCallIssue]  # the rest has defaults
    fill(folder, ["tiny"], settings)
    held = {path.name for path in folder.iterdir()}
    loaded = load("tiny", backbones, tmp_path, given=folder)
    sites = tuple(linear_shapes(loaded.graph))
    for modules in (sites, covering(sites, ())):
        assert loaded.bank_graph(modules, "float32").resolve().parent == folder
    assert {path.name for path in folder.iterdir()} == held
