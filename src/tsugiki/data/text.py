"""Checking text samples: what is refused, why, and what the accepted ones look like stored.

Texts and labels are kept in Unicode NFC, so that two spellings of the same characters are one sample and one label.
"""

import hashlib
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, cast

from tsugiki.domain import Content, NewSample, SampleFile, Task, tell_labels
from tsugiki.errors import Invalid, Issue

MAX_TEXT_CHARS = 65_536  # far above any backbone's window, far below what makes one row a burden
MAX_LABEL_CHARS = 256  # a label is a name; longer ones are texts sent in the wrong field
# On one letter, one after another: what UAX #15 has streams keep to. Normalising sorts them, which takes the square of
# how many they are: a second for 25,000, of the whole process.
MAX_MARKS = 30
LAST_MARK = 0x1EFFF


class RowRefused(Invalid):
    """One row cannot be accepted; `issues` say why, with pointers into the request."""


def clean_text(raw: object, pointer: str) -> str:
    """NFC text of one text input. Raises RowRefused with a row code of the API."""
    if raw is None:
        raise refused("input_missing", pointer, "no input was given", "send the text as a string")
    if names_url(raw):
        raise refused("url_forbidden", pointer, "inputs are never fetched from a URL", "send the text itself")
    if not isinstance(raw, str):
        detail = f"the project reads text: expected a string, got {json_type(raw)}"
        raise refused("input_invalid", pointer, detail, "send the text as a string")
    if len(raw) > MAX_TEXT_CHARS:
        raise refused(
            "input_too_long",
            pointer,
            f"the text has {len(raw):,} characters, the limit is {MAX_TEXT_CHARS:,}",
            "send the part that decides the label",
        )
    if (trouble := _trouble_with(raw)) is not None:
        raise refused("input_invalid", pointer, f"the text holds {trouble}", "remove it")
    text = unicodedata.normalize("NFC", raw)
    if not text.strip():
        raise refused("input_empty", pointer, "the text is empty or white space only", "send a text, or drop the row")
    return text


def beginning(text: str) -> str:
    """The first half of the words, or of the characters of a single one: `"pay my bill"` -> `"pay my"`; never blank."""
    words = text.split()
    return " ".join(words[: _half(words)]) if len(words) > 1 else words[0][: _half(words[0])]


def _half(items: Sequence[object]) -> int:
    return -(-len(items) // 2)


def clean_label(raw: str, pointer: str) -> str:
    """NFC label without outer white space. Raises RowRefused with a row code of the API."""
    if (trouble := _trouble_with(raw)) is not None:
        raise refused("label_invalid", pointer, f"the label holds {trouble}", "remove it")
    label = unicodedata.normalize("NFC", raw).strip()
    if not label:
        raise refused("label_empty", pointer, "the label is empty or white space only", "name it, or leave it out")
    if len(label) > MAX_LABEL_CHARS:
        raise refused(
            "label_too_long",
            pointer,
            f"the label has {len(label):,} characters, the limit is {MAX_LABEL_CHARS}",
            "use a short name",
        )
    return label


def clean_told(label: object, labels: object, pointer: str, task: Task, field: str = "label") -> str | None:
    """What is told of a sample by `label` and `labels`, a text or a list of texts each; None if nothing is.

    They are the fields `field`, and `field` with an s, at the pointer. In a multi_label project both say a set, perhaps
    empty; else one label. Raises RowRefused with a row code.
    """
    given, pointer = (label, f"{pointer}/{field}") if labels is None else (labels, f"{pointer}/{field}s")
    if label is not None and labels is not None:
        raise refused("labels_twice", pointer, "label and labels are both given", "send one of them")
    if given is None:
        return None
    if isinstance(given, str):
        names = [clean_label(given, pointer)]
    else:
        assert isinstance(given, Sequence), "the wire lets texts and lists through only: this is a bug"
        listed = cast(Sequence[str], given)
        names = [clean_label(name, f"{pointer}/{place}") for place, name in enumerate(listed)]
    if task == "multi_label":
        return tell_labels(names)
    if len(set(names)) != 1:
        code = "labels_several" if names else "label_missing"
        detail = f"{len(set(names))} labels were given, a sample of a single_label project has one"
        raise refused(code, pointer, detail, "send one, or make a multi_label project")
    return names[0]


def check_sample(
    raw: Mapping[str, Any],
    pointer: str,
    *,
    label_required: bool,
    task: Task = "single_label",
    clean: Callable[[object, str], str | SampleFile] = clean_text,
) -> NewSample:
    """A stored-to-be sample from one row of a request, with every refusal of the row at once.

    `clean` makes the content of the input and its pointer, or raises RowRefused.
    """
    issues: list[Issue] = []
    content: str | SampleFile = ""
    label = None
    try:
        content = clean(raw.get("input"), f"{pointer}/input")
    except RowRefused as error:
        issues += error.issues
    try:
        label = clean_told(raw.get("label"), raw.get("labels"), pointer, task)
        if label is None and label_required:
            raise refused("label_missing", f"{pointer}/label", "no label was given", "add a label to the row")
    except RowRefused as error:
        issues += error.issues
    if issues:
        raise RowRefused("; ".join(issue.detail for issue in issues), code=issues[0].code, issues=issues)
    if isinstance(content, str):
        file, text, sha, group = None, content, fingerprint(content), fingerprint(_folded(content))
    else:
        sha = fingerprint(content.data)
        file, text, group = content, sha, sha
    return NewSample(
        content=text,
        content_sha=sha,
        group=group,
        label=label,
        file=file,
        external_id=raw.get("external_id"),
        source=raw.get("source"),
        metadata=raw.get("metadata") or {},
    )


def fingerprint(content: Content) -> str:
    """sha256, hex: the identity of exact duplicates."""
    return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()


def _folded(text: str) -> str:
    """What remains when case, compatibility forms and white space are ignored: `Hi  THERE` -> `hi there`."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _trouble_with(text: str) -> str | None:
    # SQLite takes NUL, PostgreSQL does not; lone surrogates are not text in any encoding.
    if "\0" in text:
        return "a NUL character"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "a lone surrogate"
    if not text.isascii() and _too_many_marks().search(text) is not None:
        return f"a letter with more than {MAX_MARKS} combining marks"
    return None


@cache
def _too_many_marks() -> re.Pattern[str]:
    marks = "".join(filter(unicodedata.combining, map(chr, range(LAST_MARK))))
    return re.compile(f"[{marks}]{{{MAX_MARKS + 1}}}")


def refused(code: str, pointer: str, detail: str, fix: str) -> RowRefused:
    """One issue of one row."""
    return RowRefused(detail, fix=fix, code=code, issues=[Issue(code, pointer, detail, fix)])


def names_url(value: object) -> bool:
    return isinstance(value, dict) and "url" in cast(dict[str, Any], value)


def json_type(value: object) -> str:
    match value:
        case str():
            return "a string"
        case bytes():
            return "a file"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case list():
            return "an array"
        case _:
            return "an object"
