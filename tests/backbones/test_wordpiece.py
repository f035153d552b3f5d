"""Words looked up beside the library's own reading, which is right by definition."""
# pyright: reportUnknownMemberType=false
# The keyword arguments of tokenizers are untyped.

import json
from collections.abc import Callable
from random import Random

import pytest
from tokenizers import AddedToken, Tokenizer

from tsugiki.backbones import find
from tsugiki.backbones.text import PROBE_TEXTS, read_tokenizer
from tsugiki.backbones.tokens import read_definition
from tsugiki.backbones.wordpiece import ASKED, PlainWords

PRINTABLE = "".join(map(chr, range(32, 127)))
MOST = find("minilm-en", {}).max_tokens
UNKNOWN = "qxzvk"  # no word of the vocabulary
PLAIN = [
    "",
    " ",
    "  a  b ",
    "Don't pay $1,234.56 (or 7%)!",
    "snake_case and kebab-case and CamelCase",
    "antidisestablishmentarianism",
    "a" * 100,
    "a" * 101,
    "x" + UNKNOWN * 9_000,
    " ".join(f"{UNKNOWN}{n}" for n in range(ASKED)),
    "word " * (MOST - 2),
    "word " * (MOST - 1),
    f"{UNKNOWN} " * ASKED + "word " * (MOST - 8),
    "- ##ing ##s",
]
OTHERS = [
    "[SEP] or [MASK]",
    "naïve",
    "日本語",
    "two\nlines",
    "a\x00b",
    "tab\tbed",
    " ".join(f"{UNKNOWN}{n}" for n in range(ASKED + 1)),
]


@pytest.fixture(scope="module")
def library() -> Tokenizer:
    source = find("minilm-en", {})
    return read_tokenizer(source, read_definition(source))


@pytest.fixture(scope="module")
def words(library: Tokenizer) -> PlainWords:
    made = PlainWords.of(library, MOST)
    assert made is not None
    return made


def differing(words: PlainWords, library: Tokenizer, texts: list[str]) -> list[str]:
    """Texts that are read, but not as the library reads them."""
    found: list[str] = []
    for text in texts:
        if (prepared := words.prepared(text)) is None:
            continue
        theirs = library.encode(text)
        ours = (prepared.row.tolist(), prepared.size, prepared.truncated)
        if ours != (theirs.ids, len(theirs.ids), bool(theirs.overflowing)):
            found.append(text)
    return found


def random_texts(library: Tokenizer) -> list[str]:
    random, vocabulary = Random(7), sorted(library.get_vocab())
    marks = ["".join(random.choices(PRINTABLE, k=random.randrange(40))) for _ in range(2_000)]
    spelt = [
        random.choice(("", " ", "-")).join(random.choices(vocabulary, k=random.randrange(12))) for _ in range(2_000)
    ]
    return marks + spelt


def test_what_it_reads_it_reads_as_the_library_does(words: PlainWords, library: Tokenizer) -> None:
    texts = [*PLAIN, *PROBE_TEXTS, *random_texts(library)]
    assert not differing(words, library, texts)
    assert sum(words.prepared(text) is not None for text in texts) > len(texts) / 2, "most of them are read here"


def test_plain_texts_need_no_library(words: PlainWords) -> None:
    assert all(words.prepared(text) is not None for text in PLAIN)


@pytest.mark.parametrize("text", OTHERS)
def test_what_it_cannot_be_sure_of_is_left_to_the_library(words: PlainWords, text: str) -> None:
    assert words.prepared(text) is None


def test_capitals_stay_where_the_tokeniser_leaves_them(library: Tokenizer) -> None:
    told = json.loads(library.to_str())
    told["normalizer"]["lowercase"] = False
    cased = Tokenizer.from_str(json.dumps(told))
    words = PlainWords.of(cased, MOST)
    assert words is not None
    assert not differing(words, cased, [*PLAIN, *PROBE_TEXTS])
    assert differing(PlainWords(cased, lowercase=True, longest=100, most=MOST), cased, [*PLAIN, *PROBE_TEXTS])


def test_a_reader_of_another_length_is_found(library: Tokenizer) -> None:
    wrong = PlainWords(library, lowercase=True, longest=100, most=MOST - 1)
    assert differing(wrong, library, PLAIN)


def test_words_longer_than_have_pieces_are_unknown(library: Tokenizer) -> None:
    told = json.loads(library.to_str())
    told["model"]["max_input_chars_per_word"] = 4
    short = Tokenizer.from_str(json.dumps(told))
    words = PlainWords.of(short, MOST)
    assert words is not None
    assert not differing(words, short, ["word words wordy"])
    assert differing(PlainWords(short, lowercase=True, longest=100, most=MOST), short, ["word words wordy"])


def changed(**parts: object) -> Callable[[Tokenizer], Tokenizer]:
    def change(library: Tokenizer) -> Tokenizer:
        return Tokenizer.from_str(json.dumps(json.loads(library.to_str()) | parts))

    return change


def with_a_word_added(library: Tokenizer) -> Tokenizer:
    copy = Tokenizer.from_str(library.to_str())
    copy.add_tokens([AddedToken("ordinary word", normalized=True)])
    return copy


@pytest.mark.parametrize(
    "other", [changed(normalizer=None), changed(pre_tokenizer={"type": "Whitespace"}), with_a_word_added]
)
def test_other_kinds_of_tokenisers_are_not_looked_up(
    library: Tokenizer, other: Callable[[Tokenizer], Tokenizer]
) -> None:
    assert PlainWords.of(changed()(library), MOST) is not None
    assert PlainWords.of(other(library), MOST) is None
