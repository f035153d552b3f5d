"""What each kind of database does in its own way. One module a member: `sqlite.py`, `postgres.py`."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from tsugiki.errors import TsugikiError


class Dialect(Protocol):
    @property
    def engine(self) -> Engine:
        """What both others are made of: events listened to here are theirs."""
        ...

    @property
    def reader(self) -> Engine:
        """Its transactions see one state from their first statement to their last."""
        ...

    @property
    def writer(self) -> Engine:
        """One transaction at a time, of all processes; each sees all that was committed before it began."""
        ...

    def writer_of(self, owner: str) -> Engine | None:
        """Of what is only `owner`'s: one transaction at a time of those and of `writer`'s, beside those of others.

        None where transactions that write are one at a time anyway.
        """
        ...

    def tell(self, session: Session) -> None:
        """As `Database.tell`."""
        ...

    def commits(self) -> AbstractContextManager[Callable[[], int]]:
        """As `Database.commits`."""
        ...

    def empty_log(self) -> bool:
        """As `Database.empty_log`."""
        ...

    def close(self) -> None:
        """Nothing may be asked any more."""
        ...

    def translated(self, error: DBAPIError) -> TsugikiError | None:
        """What a failure of the database means to a caller; None if it is a bug or a broken constraint."""
        ...
