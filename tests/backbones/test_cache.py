# pyright: reportUnknownVariableType=false
# safetensors leaves some arguments untyped.

import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.numpy import load_file, save_file

from tsugiki.backbones import Loaded, check_weights, ensure_graph, prepare
from tsugiki.backbones.cache import ensure_bank_graph
from tsugiki.backbones.sites import linear_shapes
from tsugiki.errors import Unavailable


@pytest.fixture
def cache(make_lone_home: Callable[[], Path]) -> Path:
    """A cache of its own that already holds the tiny graph."""
    return make_lone_home() / "graphs"


def test_graph_is_compiled_once(tiny: Loaded, cache: Path) -> None:
    held = cache / tiny.graph.name
    before = held.stat().st_mtime_ns
    assert prepare(tiny.source, cache).graph == held
    assert held.stat().st_mtime_ns == before


def test_corrupt_weights_are_refused_naming_file_expected_and_found(tiny: Loaded) -> None:
    pinned = replace(tiny.source, expected_sha256="0" * 64)
    with pytest.raises(Unavailable) as refused:
        prepare(pinned, Path("never-reached"))
    assert refused.value.reason == "backbone_corrupt"
    for named in (str(tiny.source.weights), "0" * 64, check_weights(tiny.source)):
        assert named in refused.value.detail


def test_damaged_graph_is_compiled_anew_by_one_of_many(tiny: Loaded, cache: Path) -> None:
    held = cache / tiny.graph.name
    whole = held.read_bytes()
    damaged = whole[:-1] + bytes([whole[-1] ^ 1])
    held.write_bytes(damaged)
    with ThreadPoolExecutor(3) as pool:
        found = {pool.submit(prepare, tiny.source, cache) for _ in range(3)}
    assert {loaded.result().graph for loaded in found} == {held}
    assert held.read_bytes() != damaged
    assert not list(cache.glob("*.part"))


def test_graph_that_was_given_is_linked_to_and_its_folder_only_read(tiny: Loaded, cache: Path, tmp_path: Path) -> None:
    given = cache.rename(tmp_path / "given")
    before = sorted(path.name for path in given.iterdir())
    loaded = prepare(tiny.source, tmp_path / "graphs", given=given)
    assert (loaded.graph.parent, loaded.graph.resolve()) == (tmp_path / "graphs", given / tiny.graph.name)
    assert prepare(tiny.source, tmp_path / "graphs").graph.resolve() == given / tiny.graph.name
    assert sorted(path.name for path in given.iterdir()) == before


def test_given_graph_is_used_only_if_it_is_whole(tiny: Loaded, cache: Path, tmp_path: Path) -> None:
    modules = tuple(linear_shapes(tiny.graph))
    given = ensure_bank_graph(cache / tiny.graph.name, modules, "float32")
    graph = Path(shutil.copy(tiny.graph, tmp_path))
    linked = ensure_bank_graph(graph, modules, "float32", cache)
    assert linked.resolve() == given
    whole = given.read_bytes()
    given.write_bytes(whole[:-1])
    rebuilt = ensure_bank_graph(graph, modules, "float32", cache)
    assert (rebuilt, rebuilt.is_symlink(), rebuilt.read_bytes()) == (linked, False, whole)


def test_folder_without_all_weights_is_refused_not_filled_at_random(tiny: Loaded, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny.source.folder, tmp_path / "model")
    tensors = load_file(folder / "model.safetensors")
    del tensors["encoder.layer.1.output.dense.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    source = replace(tiny.source, folder=folder)
    with pytest.raises(Unavailable, match="encoder.layer.1.output.dense.weight") as refused:
        ensure_graph(source, check_weights(source), tmp_path / "graphs")
    assert refused.value.reason == "backbone_build_failed"
    assert not list((tmp_path / "graphs").glob("*.onnx"))
