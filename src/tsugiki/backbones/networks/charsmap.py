"""Characters respelled before words are looked up, as sentencepiece writes them down and `tokenizers` reads them.

A uint32 count of bytes, that many bytes of a double-array trie over the characters' UTF-8, and the spellings, each with
a zero behind it. A unit of the trie is a uint32: a byte as its label in the lowest 8 bits, bit 8 where a character
ends, and from bit 10 on what leads to the units below it; those lie at that place XOR their byte, what ends there at
byte 0, with bit 31 set and the place of the spelling. https://github.com/s-yata/darts-clone; sentencepiece's
`normalizer.cc`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

ENDS, LEADS, FINAL = 1 << 8, 10, 1 << 31
SIDE = 256  # units that the bytes below one lead to: a whole such page is always there
MOST_UNITS = 1 << 21  # what the bits of a unit lead to


@dataclass(slots=True)
class _Node:
    below: dict[int, _Node] = field(default_factory=dict[int, "_Node"])
    spelling: int | None = None  # its place


def charsmap(respelled: Mapping[str, str]) -> bytes:
    """`{"①": "1", "㌔": "キロ"}` for `tokenizers.normalizers.Precompiled`. No character may be the zero one."""
    root, spellings, places = _Node(), bytearray(), dict[str, int]()
    for character, spelling in sorted(respelled.items()):
        if spelling not in places:
            places[spelling] = len(spellings)
            spellings += spelling.encode() + b"\0"
        node = root
        for byte in character.encode():
            node = node.below.setdefault(byte, _Node())
        node.spelling = places[spelling]
    trie = np.array(_units(root), "<u4").tobytes()
    return len(trie).to_bytes(4, "little") + trie + bytes(spellings)


def _units(root: _Node) -> list[int]:
    units, taken = {0: 0}, {0}
    starts: set[int] = set()  # no two nodes begin at one, or a byte of one would be found below the other

    def put(place: int, node: _Node, least: int) -> int:
        """Where the units below the node begin, from `least` on."""
        labels = [*([] if node.spelling is None else [0]), *node.below]
        start = least
        while start in starts or any((start ^ label) in taken for label in labels):
            start += 1
        starts.add(start)
        taken.update(start ^ label for label in labels)
        assert (place ^ start) < MOST_UNITS, "a few thousand characters take a few thousand units; this is a bug"
        units[place] |= (place ^ start) << LEADS
        if node.spelling is not None:
            units[place] |= ENDS
            units[start] = FINAL | node.spelling
        for label in node.below:
            units[start ^ label] = label
        return start

    waiting, ends = [(0, root)], list[tuple[int, _Node]]()
    while waiting:
        place, node = waiting.pop()
        start = put(place, node, 1)
        for label, child in node.below.items():
            (waiting if child.below else ends).append((start ^ label, child))
    least = 1
    for place, node in ends:  # last, for one unit fits into any gap
        least = put(place, node, least)
    return [units.get(place, 0) for place in range((max(taken) // SIDE + 1) * SIDE)]
