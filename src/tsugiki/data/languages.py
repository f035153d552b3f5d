"""Which languages texts are in: by their letters and commonest words, and by a model where these do not tell."""
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false
# py3langid states no types.

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier

log = logging.getLogger(__name__)

LOOKED_AT = 200  # texts, evenly: a share is then known to some points, within some 20 ms
BEGINNING = 300  # characters of each: a sentence or two tell what a page would
ENOUGH = 0.8  # of the texts, in languages that a network has read; the others are names, loans and strays
TOLD = 0.1  # of the texts: where fewer are in any language they are codes and numbers
PRESENT = 0.05  # of the model's certainty over all texts; below it a language is a short text mistaken

Kind = Literal["ja", "ko", "han", "latin", "other", "none"]

LETTER = re.compile(r"[^\W\d_]")
KANA = re.compile(r"[ぁ-ゖァ-ヺｦ-ﾝ]")
HANGUL = re.compile(r"[가-힣ㄱ-ㆎ]")
HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]")
LATIN = re.compile(r"[a-z\u00c0-\u024f\u1e00-\u1eff]", re.IGNORECASE)
MOSTLY = 0.5  # of a text's letters
SOME_KANA = 0.1  # of Japanese, whose other letters are Chinese ones

WORD = re.compile(r"[a-z]+|[^\W\d_a-z]+")  # letters beyond a to z stand apart, as a word of another language
ENGLISH = frozenset(
    "the and my you your what how this with have that which when where why would could should does did it its they "
    "their from been there please need want about know get any much many i can not are was for".split()
)
OTHERS = frozenset(  # of the most written languages in the same letters, as far as they are no English words
    "der das und ist nicht ich ein eine mit auf zu wie mein sie es le les est je une pas que qui avec mon dans el los "
    "las una mi por para como il di che non per sono mio um uma os com meu de het een van niet ik mijn wat jest nie na "
    "se bir ve bu yang dan och att det jag er og ikke".split()
)
ENGLISH_IN, OTHERS_IN = 0.5, 0.1  # of the texts: as many show English, and as few another language

KIN = {"ary": "ar", "arz": "ar", "nn": "no", "pcm": "en", "uzs": "uz", "wuu": "zh", "yue": "zh"}
"""What the model tells apart and networks do not."""

NAMES = {
    "ar": "Arabic",
    "de": "German",
    "en": "English",
    "es": "Spanish",
    "fr": "French",
    "hi": "Hindi",
    "it": "Italian",
    "ja": "Japanese",
    "ko": "Korean",
    "nl": "Dutch",
    "pl": "Polish",
    "pt": "Portuguese",
    "ru": "Russian",
    "th": "Thai",
    "tr": "Turkish",
    "vi": "Vietnamese",
    "zh": "Chinese",
}


def languages_of(texts: Sequence[str]) -> dict[str, float]:
    """`["これは良い", "とても悪い"]` -> `{"ja": 1.0}`: shares by ISO 639 code, the largest first.

    Of the texts looked at that are in any language; empty where hardly any is.
    """
    looked = [text[:BEGINNING] for text in texts[:: max(1, -(-len(texts) // LOOKED_AT))]]
    of_kind: dict[Kind, list[str]] = {}
    for text in looked:
        of_kind.setdefault(_kind(text), []).append(text)
    kana, han, latin = (of_kind.get(kind, []) for kind in ("ja", "han", "latin"))
    found = Counter({"ja": len(kana), "ko": len(of_kind.get("ko", []))})
    found["ja" if len(kana) > len(han) else "zh"] += len(han)  # beside kana, these are the short ones of Japanese
    unsure = of_kind.get("other", [])
    if _english(latin):
        found["en"] += len(latin)
    else:
        unsure = unsure + latin
    found.update(_modelled(unsure))
    if found.total() < TOLD * len(looked):
        return {}
    return {code: count / found.total() for code, count in found.most_common() if count}


def covered(shares: Mapping[str, float], languages: Collection[str]) -> float:
    """The part of the texts that is in one of `languages`."""
    return sum(share for code, share in shares.items() if code in languages)


def name_of(code: str) -> str:
    """`ja` -> `Japanese`; a code without a name here stands for itself."""
    return NAMES.get(code, code)


def told_shares(shares: Mapping[str, float]) -> str:
    """`97 % look Japanese, 3 % English`; what rounds to nothing is left out."""
    told = [(100 * share, name_of(code)) for code, share in shares.items() if share >= 0.005]
    return ", ".join(f"{share:.0f} % {'' if n else 'look '}{name}" for n, (share, name) in enumerate(told))


def _kind(text: str) -> Kind:
    letters = len(LETTER.findall(text))
    if not letters:
        return "none"
    kana, han = len(KANA.findall(text)), len(HAN.findall(text))
    if kana + han > MOSTLY * letters:
        return "ja" if kana > SOME_KANA * letters else "han"
    if len(HANGUL.findall(text)) > MOSTLY * letters:
        return "ko"
    return "latin" if len(LATIN.findall(text)) > MOSTLY * letters else "other"


def _english(texts: Sequence[str]) -> bool:
    """Whether their words leave no doubt. The model takes longer to read than a head takes to learn."""
    counts = [Counter(WORD.findall(text.lower())) for text in texts]
    english = [sum(count[word] for word in ENGLISH & count.keys()) for count in counts]
    others = [sum(n for word, n in count.items() if word in OTHERS or not word.isascii()) for count in counts]
    shows = sum(one > other for one, other in zip(english, others, strict=True))
    against = sum(other > one for one, other in zip(english, others, strict=True))
    return bool(texts) and shows >= ENGLISH_IN * len(texts) and against <= OTHERS_IN * len(texts)


def _modelled(texts: Sequence[str]) -> Counter[str]:
    """Each in the likeliest of those languages that all of them together show: alone, a short text tells little."""
    model = _model() if texts else None
    if model is None:
        return Counter()
    ranked: list[dict[str, float]] = []
    total = Counter[str]()
    for text in texts:
        likely: dict[str, float] = dict(model.rank(text))
        for code, base in KIN.items():
            likely[base] += likely.pop(code)
        ranked.append(likely)
        total.update(likely)
    present = [code for code, certainty in total.items() if certainty > PRESENT * len(texts)]
    found = Counter(max(present, key=of_text.__getitem__) for of_text in ranked) if present else Counter[str]()
    del found["zxx"]  # no language at all, as the model calls it
    return found


@cache
def _model() -> LanguageIdentifier | None:
    """None where it cannot be read: it is unpacked into a temporary file of 70 MB, without pickle."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    try:
        return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    except OSError as error:
        log.warning("the model that tells languages cannot be unpacked: %s", error.strerror)
        return None
