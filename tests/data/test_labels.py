from __future__ import annotations

import pytest

from tsugiki.data.labels import spoken, texts_of
from tsugiki.domain import Label


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("card_payment_fee", "card payment fee"),
        ("audio/volume-up", "audio volume up"),
        ("cardArrival", "card Arrival"),
        ("GPS", "GPS"),
        ("  lost   card ", "lost card"),
        ("請求", "請求"),
        ("_", "_"),
        ("v2.1", "v2 1"),
    ],
)
def test_a_name_made_for_machines_is_said_in_words(name: str, said: str) -> None:
    assert spoken(name) == said


def test_a_description_speaks_beside_the_name() -> None:
    assert texts_of(Label("late_parcel", "The parcel did not arrive in time.")) == (
        "late parcel",
        "The parcel did not arrive in time.",
    )
    assert texts_of(Label("late_parcel", "  ")) == texts_of(Label("late_parcel")) == ("late parcel",)
