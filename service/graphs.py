"""Compiled graphs for TSUGIKI_GRAPHS: `python -m service.graphs FOLDER` writes those of every installed backbone.

An image that brings them is ready in seconds with an empty home, and needs no memory for compiling.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from service.logs import write_log
from service.settings import Settings, read_settings
from tsugiki.backbones.catalog import names
from tsugiki.backbones.loaded import load
from tsugiki.backbones.sites import covering, linear_shapes
from tsugiki.data.decoding.pool import DecoderPool
from tsugiki.errors import TsugikiError
from tsugiki.runtime.engines.making import bank_types_of

log = logging.getLogger("tsugiki")


def fill(folder: Path, backbones: Sequence[str], settings: Settings) -> None:
    """Graphs, and the bank graphs that adapters of these settings' engine may ask for. Raises Unavailable."""
    with closing(DecoderPool(1)) as decoder:
        for name in backbones:
            loaded = load(name, settings.backbones, folder, decoder)
            sites = tuple(linear_shapes(loaded.graph))
            sets = {covering(sites, ()), sites} - {()}
            for bank_type in bank_types_of(settings.engine):
                for modules in sorted(sets):
                    loaded.bank_graph(modules, bank_type)
            log.info("compiled: %s", name)


def main() -> None:
    if len(sys.argv) != 2:
        raise SystemExit("usage: python -m service.graphs FOLDER")
    settings = read_settings()
    write_log(settings.log_format)
    try:
        fill(Path(sys.argv[1]), names(settings.backbones), settings)
    except TsugikiError as error:
        raise SystemExit(f"tsugiki: {error.detail} {error.fix}") from None


if __name__ == "__main__":
    main()
