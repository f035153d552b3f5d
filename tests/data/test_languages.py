"""Languages of short texts: by letters and words alone where these tell, by the model elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from tsugiki.data import languages
from tsugiki.data.languages import LOOKED_AT, covered, languages_of, told_shares

JAPANESE = ("荷物はどこですか", "返金してください", "明日の天気", "カードを無くしました", "アラームを設定")
GERMAN = ("Wo ist mein Paket", "Wie wird das Wetter morgen", "Ich habe mein Passwort vergessen", "Karte verloren")
ENGLISH = ("where is my parcel", "list alarms", "I lost the card", "what is the weather tomorrow", "can you help me")
MIXED = (*JAPANESE[:4], *ENGLISH[:4])


@pytest.mark.parametrize(
    ("texts", "found"),
    [
        (JAPANESE, {"ja": 1.0}),
        (ENGLISH, {"en": 1.0}),
        (MIXED, {"ja": 0.5, "en": 0.5}),
        (("환불해 주세요", "내 소포는 어디"), {"ko": 1.0}),
        (("我的包裹在哪里", "明天天气怎么样"), {"zh": 1.0}),
        (("12-34", "7788", "👍", ""), {}),
        ((), {}),
    ],
)
def test_letters_and_words_tell_most(
    texts: tuple[str, ...], found: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    def untouched() -> None:
        raise AssertionError("the model was read")

    monkeypatch.setattr(languages, "_model", untouched)
    assert languages_of(texts) == found


def test_the_model_tells_the_others_one_by_one() -> None:
    assert languages_of(GERMAN) == {"de": 1.0}
    assert languages_of((*GERMAN, *ENGLISH[:2], *ENGLISH[3:])) == {"de": 0.5, "en": 0.5}
    assert next(iter(languages_of(("где моя посылка", "верните деньги", "поставь будильник")))) == "ru"
    assert languages_of(("A-1234", "0x99", "X7")) == {}


def test_a_part_of_many_texts_is_looked_at_evenly() -> None:
    assert languages_of([*JAPANESE * LOOKED_AT, *ENGLISH * LOOKED_AT]) == {"ja": 0.5, "en": 0.5}


def test_shares_are_told_in_words() -> None:
    shares = {"ja": 0.97, "en": 0.026, "xx": 0.004}
    assert told_shares(shares) == "97 % look Japanese, 3 % English"
    assert covered(shares, ("ja", "xx")) == pytest.approx(0.974)


def test_a_model_that_cannot_be_unpacked_tells_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    languages._model.cache_clear()  # pyright: ignore[reportPrivateUsage]
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    try:
        assert languages_of(GERMAN) == {}
        assert languages_of(ENGLISH) == {"en": 1.0}
    finally:
        languages._model.cache_clear()  # pyright: ignore[reportPrivateUsage]
