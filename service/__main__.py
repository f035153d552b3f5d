"""`python -m service`: serve with the settings of the environment."""

import os

from service.launch import ENVIRONMENT, command
from service.settings import read_settings


def main() -> None:
    """Become the server process, so that signals and exit status are its own."""
    arguments = command(read_settings())
    os.execve(arguments[0], arguments, {**ENVIRONMENT, **os.environ})


if __name__ == "__main__":
    main()
