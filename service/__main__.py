"""`python -m service`: serve with the settings of the environment."""

import os

from service.launch import ENVIRONMENT, command
from service.settings import read_settings


def main() -> None:
    """Become the server process, so that signals and exit status are its own."""
    settings = read_settings()
    arguments = command(settings)
    # BentoML keeps files of its own while it runs: they belong where everything else is.
    own = {**ENVIRONMENT, "BENTOML_HOME": str(settings.root / "bentoml")}
    os.execve(arguments[0], arguments, {**own, **os.environ})


if __name__ == "__main__":
    main()
