"""How much waits of how many: what goes before a newcomer's rows, told without looking at every tenant."""

from __future__ import annotations

SIZES = 32  # powers of two: more tokens than ever wait


class Backlog:
    """Tenants by the tokens they have waiting, those of one power of two together. Not thread-safe, but
    `served_by` may be asked meanwhile: it is then as far off as one change.
    """

    def __init__(self) -> None:
        self.tokens = 0  # of all
        self._tenants = [0] * SIZES
        self._tokens = [0] * SIZES

    def change(self, before: int, after: int) -> None:
        """A tenant had `before` tokens waiting and has `after`."""
        here, there = before.bit_length(), after.bit_length()
        if here != there:
            self._tenants[here] -= 1
            self._tenants[there] += 1
        self._tokens[here] -= before
        self._tokens[there] += after
        self.tokens += after - before

    def served_by(self, tokens: int) -> int:
        """What all have been served by the time that a tenant got its next `tokens`: each as much, or all it has.

        Exact but for tenants with half as much to twice as much, who may be reckoned with up to twice their part.
        """
        near = tokens.bit_length()
        as_much = [tenants * tokens for tenants in self._tenants[near:]]
        return sum(self._tokens[1:near]) + sum(map(min, self._tokens[near:], as_much))
