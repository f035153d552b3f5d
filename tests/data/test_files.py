"""What is refused of inputs that are files, before and after one is read."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from functools import partial
from hashlib import sha256

import numpy as np
import pytest
from PIL import Image

from tsugiki.data.decoding.pool import DecoderPool
from tsugiki.data.files import clean_file, file_bytes, told_at
from tsugiki.data.text import RowRefused, check_sample
from tsugiki.domain import Modality
from tsugiki.errors import Invalid, Issue, Unavailable

DATA = bytes(range(256))


@pytest.fixture
def decoder() -> Iterator[DecoderPool]:
    pool = DecoderPool(1)
    yield pool
    pool.close()


def picture() -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    written = io.BytesIO()
    Image.fromarray(pixels).save(written, "PNG")
    return written.getvalue()


def in_base64(data: bytes) -> dict[str, str]:
    return {"base64": base64.b64encode(data).decode()}


def test_a_file_comes_as_it_is_or_in_base64() -> None:
    assert file_bytes(DATA, "/inputs/0", "image") == file_bytes(in_base64(DATA), "/inputs/0", "image") == DATA


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (None, "input_missing"),
        ({"url": "https://example.org/cat.png"}, "url_forbidden"),
        ({"url": "https://example.org/cat.png", "base64": "AAAA"}, "url_forbidden"),
        ("a text", "input_invalid"),
        (7, "input_invalid"),
        (["AAAA"], "input_invalid"),
        ({}, "input_invalid"),
        ({"base64": 7}, "input_invalid"),
        ({"base64": "AAAA", "name": "cat.png"}, "input_invalid"),
        ({"base64": "AAA"}, "input_invalid"),
        ({"base64": "AA AA"}, "input_invalid"),
        ({"base64": "_-8="}, "input_invalid"),
        ({"base64": "é"}, "input_invalid"),
        ({"base64": ""}, "input_empty"),
        (b"", "input_empty"),
    ],
)
def test_what_is_no_file_is_refused_where_it_stands(raw: object, code: str) -> None:
    with pytest.raises(RowRefused) as refused:
        file_bytes(raw, "/inputs/3", "audio")
    assert refused.value.reason == code
    assert [(issue.code, issue.pointer) for issue in refused.value.issues] == [(code, "/inputs/3")]
    assert refused.value.fix


@pytest.mark.parametrize(("modality", "what"), [("image", "pictures"), ("audio", "sounds")])
def test_a_refusal_names_what_is_read_and_how_it_is_sent(modality: Modality, what: str) -> None:
    with pytest.raises(RowRefused) as refused:
        file_bytes("a text", "/inputs/3", modality)
    assert refused.value.detail == f"the project reads {what}: expected a file, got a string"
    assert '{"base64": "..."}' in refused.value.fix and "form" in refused.value.fix
    unread = told_at(Invalid("it is cut off", code=f"{modality}_undecodable"), "/inputs/3", modality)
    assert unread.detail == unread.issues[0].detail == f"the project reads {what}: it is cut off"


def test_a_refusal_says_nothing_of_what_was_sent() -> None:
    for raw in ("a secret text", {"base64": "a secret text"}, {"secret": "text"}):
        with pytest.raises(RowRefused) as refused:
            file_bytes(raw, "/inputs/0", "image")
        assert "secret" not in refused.value.detail + refused.value.fix


def test_a_decoder_s_refusal_is_told_at_its_place_with_its_codes() -> None:
    found = Invalid(
        "two troubles", fix="draw it", code="first", issues=[Issue("first", "", "a", "b"), Issue("2", "", "c")]
    )
    told = told_at(found, "/samples/4/input", "image")
    assert (told.reason, told.detail, told.fix) == ("first", "two troubles", "draw it")
    assert told.issues == (Issue("first", "/samples/4/input", "a", "b"), Issue("2", "/samples/4/input", "c"))


def test_a_refusal_without_issues_refuses_its_row_all_the_same() -> None:
    told = told_at(Invalid("a trouble", code="first", fix="draw it"), "/samples/0/input", "image")
    assert told.issues == (Issue("first", "/samples/0/input", "a trouble", "draw it"),)


def test_a_file_is_stored_as_it_was_sent_once_it_could_be_read(decoder: DecoderPool) -> None:
    data = picture()
    clean = partial(clean_file, modality="image", decoder=decoder)
    found = check_sample({"input": in_base64(data), "label": "cat"}, "", label_required=True, clean=clean)
    assert found.file is not None and found.file.data == data and found.file.measures
    assert found.content == found.content_sha == found.group == sha256(data).hexdigest()


def test_a_file_that_is_something_else_is_refused_with_all_else_that_is_wrong(decoder: DecoderPool) -> None:
    clean = partial(clean_file, modality="image", decoder=decoder)
    with pytest.raises(RowRefused) as refused:
        check_sample({"input": in_base64(DATA), "label": " "}, "/samples/0", label_required=True, clean=clean)
    assert [(issue.code, issue.pointer) for issue in refused.value.issues] == [
        ("image_undecodable", "/samples/0/input"),
        ("label_empty", "/samples/0/label"),
    ]


def test_a_decoder_that_is_away_is_no_fault_of_the_row_and_lets_none_through(decoder: DecoderPool) -> None:
    decoder.close()
    clean = partial(clean_file, modality="image", decoder=decoder)
    with pytest.raises(Unavailable):
        check_sample({"input": in_base64(picture()), "label": "cat"}, "", label_required=True, clean=clean)
