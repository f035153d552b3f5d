"""Bodies of several parts (RFC 7578), from bytes that are here already: no file is written, every size is bounded."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from python_multipart.exceptions import FormParserError, ParseError
from python_multipart.multipart import MultipartParser, parse_options_header

from tsugiki.errors import Invalid, Issue

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

MAX_HEADERS = 8  # of a part; forms send two or three
MAX_HEADER_BYTES = 4_096  # of one of them: a file's name
SHOWN_CHARS = 100  # of a name in a message: more would be a payload
PLAIN_ENCODINGS = frozenset({b"", b"7bit", b"8bit", b"binary"})  # what RFC 7578 leaves of them

# It logs what it refuses, bytes of the body among it; who sent it is told.
logging.getLogger("python_multipart").setLevel(logging.CRITICAL)


@dataclass(frozen=True, slots=True)
class Part:
    """A file or a field: what it is goes by its name alone."""

    name: str
    data: bytes

    def text(self, pointer: str) -> str:
        """Raises Invalid."""
        try:
            return self.data.decode()
        except UnicodeDecodeError as error:
            detail = f"the field {self.name} is not UTF-8 (byte {error.start})"
            raise malformed(detail, pointer, fix="send UTF-8") from None


def read_parts(body: bytes, content_type: str, most: int) -> list[Part]:
    """The parts in order, at most `most`; `content_type` is the request's header. Raises Invalid `multipart_invalid`.

    Some 10 us a part and the copying of the bytes: in a thread where the body is large.
    """
    boundary = parse_options_header(content_type)[1].get(b"boundary", b"")
    if not boundary:
        raise malformed("the content type names no boundary", fix="let the HTTP library write the header")
    # RFC 2046: no part holds the delimiter, and who composes a body puts no white space behind it. Looked for first, as
    # the parser takes 0.2 us for each such byte and more for each delimiter.
    delimiter = b"\r\n--" + boundary
    if body.count(delimiter) > most + 1:
        raise malformed(f"the body has more than {most:,} parts", fix="send fewer a request")
    if delimiter + b" " in body or delimiter + b"\t" in body:
        raise malformed("white space follows a boundary", fix="send none there")
    reader = _Reader()
    try:
        parser = MultipartParser(
            boundary, reader.callbacks(), max_header_count=MAX_HEADERS, max_header_size=MAX_HEADER_BYTES
        )
        parser.write(body)
    except FormParserError as error:
        at = f" at byte {error.offset:,}" if isinstance(error, ParseError) and error.offset >= 0 else ""
        raise malformed(f"the parts cannot be told apart{at}") from None
    if not reader.ended:
        raise malformed("the body ends before its last boundary", fix="send it whole")
    return reader.parts


def malformed(detail: str, pointer: str = "", *, fix: str = "send multipart/form-data as RFC 7578 has it") -> Invalid:
    return Invalid(detail, code="multipart_invalid", fix=fix, issues=[Issue("multipart_invalid", pointer, detail, fix)])


class _Reader:
    """What the parser calls back."""

    def __init__(self) -> None:
        self.parts: list[Part] = []
        self.ended = False
        self._headers: dict[bytes, bytes] = {}
        self._field = bytearray()
        self._value = bytearray()
        self._data: list[bytes] = []

    def callbacks(self) -> MultipartCallbacks:
        return {
            "on_part_begin": self._begin,
            "on_header_field": _into(self._field),
            "on_header_value": _into(self._value),
            "on_header_end": self._header,
            "on_part_data": self._more,
            "on_part_end": self._end,
            "on_end": self._finish,
        }

    def _begin(self) -> None:
        self._headers, self._data = {}, []

    def _header(self) -> None:
        self._headers[bytes(self._field).lower()] = bytes(self._value)
        self._field.clear()
        self._value.clear()

    def _more(self, data: bytes, start: int, end: int) -> None:
        self._data.append(data[start:end])

    def _end(self) -> None:
        kind, options = parse_options_header(self._headers.get(b"content-disposition"))
        name = options.get(b"name", b"").decode("utf-8", "replace")[:SHOWN_CHARS]
        if kind != b"form-data" or not name:
            raise malformed(
                f"part {len(self.parts) + 1} has no name", fix='send Content-Disposition: form-data; name="…"'
            )
        if self._headers.get(b"content-transfer-encoding", b"").strip().lower() not in PLAIN_ENCODINGS:
            raise malformed(f"the part {name!r} is encoded", fix="send its bytes without Content-Transfer-Encoding")
        self.parts.append(Part(name, b"".join(self._data)))

    def _finish(self) -> None:
        self.ended = True


def _into(buffer: bytearray) -> Callable[[bytes, int, int], None]:
    def more(data: bytes, start: int, end: int) -> None:
        buffer.extend(data[start:end])

    return more
