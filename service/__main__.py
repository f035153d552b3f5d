"""`python -m service [backup FOLDER | restore FOLDER]`: serve, or keep safe, by the settings of the environment."""

# Workers start only when this process has become their supervisor: it imports what these settings ask of it, no more.

import fcntl
import os
import runpy
import sys
from pathlib import Path

from service.command import ENVIRONMENT, arguments
from service.reaching import reach, refuse_half_restored
from service.scratch import make_scratch
from service.settings import Settings, read_settings


def main() -> None:
    settings = read_settings()
    match sys.argv[1:]:
        case []:
            _serve(settings)
        case ["backup", folder]:
            from service.backup import save

            reach(settings)
            save(settings, Path(folder))
        case ["restore", folder]:
            from service.backup import bring_back

            _own(settings.root)
            reach(settings)
            bring_back(settings, Path(folder))
        case _:
            raise SystemExit(__doc__)


def _serve(settings: Settings) -> None:
    """Become BentoML's supervisor, so that signals and exit status are its own."""
    _can_serve(settings)
    _own(settings.root)
    make_scratch(settings.root, alone=True)
    reach(settings)
    refuse_half_restored(settings)
    # BentoML keeps files of its own while it runs: they belong where everything else is.
    own = {**ENVIRONMENT, "BENTOML_HOME": str(settings.root / "bentoml")}
    os.environ.update({**own, **os.environ})
    sys.argv[1:] = arguments(settings)
    runpy.run_module("bentoml", run_name="__main__", alter_sys=True)


def _can_serve(settings: Settings) -> None:
    """Raises SystemExit when an engine or a backbone asked for by name is not to be had here."""
    if settings.engine != "auto":
        from tsugiki.runtime.engines.making import why_not

        if (reason := why_not(settings.engine)) is not None:
            raise SystemExit(f"tsugiki: TSUGIKI_ENGINE={settings.engine}: {reason}; auto takes what there is")
    for key, wanted in (("OFFERED", settings.offered), ("LOADED", settings.loaded)):
        if wanted:
            from tsugiki.backbones.catalog import names

            there = names(settings.backbones)
            if unknown := frozenset(wanted).difference(there):
                raise SystemExit(
                    f"tsugiki: TSUGIKI_{key}={min(unknown)}: no such backbone; there are {', '.join(there)}"
                )


def _own(home: Path) -> None:
    """Be the only service of this home, for as long as this process and what it becomes live. Raises SystemExit."""
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(home / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    os.set_inheritable(descriptor, True)  # the lock is the open file's, and must outlive becoming the server
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise SystemExit(
            f"tsugiki: another service runs on TSUGIKI_HOME={home}: stop it, or use another home"
        ) from None


if __name__ == "__main__":
    main()
