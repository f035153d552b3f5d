"""Forms, as bytes: what curl and httpx send is read to the byte, everything else is refused at its place."""

from __future__ import annotations

import logging
import random

import httpx
import pytest

from service.forms import prediction_form, samples_form
from service.multipart import MAX_HEADER_BYTES, MAX_HEADERS, Part, read_parts
from service.schemas import MAX_INPUTS, MAX_ROWS
from tsugiki.errors import Invalid

FORM = "multipart/form-data; boundary=B"
MOST = 10
AWKWARD = (b"", b"\r\n", b"--B", b"\r\n--", b"-- B--", b"\n--B\n", b"\r\r\n--b--\r\n", bytes(range(256)) * 300)


def form(*parts: tuple[str, bytes], end: bytes = b"--B--\r\n") -> bytes:
    return b"".join(part(f'form-data; name="{name}"', data) for name, data in parts) + end


def part(disposition: str, data: bytes = b"x", more: str = "") -> bytes:
    return f"--B\r\nContent-Disposition: {disposition}\r\n{more}\r\n".encode() + data + b"\r\n"


def test_parts_are_read_to_the_byte_and_in_order() -> None:
    given = [(f"n{place}", data) for place, data in enumerate(AWKWARD)]
    assert read_parts(form(*given), FORM, len(given)) == [Part(name, data) for name, data in given]


def test_what_an_http_library_sends_is_read() -> None:
    random_bytes = random.Random(0).randbytes(1 << 20)
    files = [("file", ('a"\u00e9;.png', random_bytes, "image/png")), ("file", ("b", b"\r\n", None))]
    request = httpx.Request("POST", "http://x", files=files, data={"top_k": "3"})
    found = read_parts(request.read(), request.headers["content-type"], MOST)
    assert found == [Part("top_k", b"3"), Part("file", random_bytes), Part("file", b"\r\n")]


@pytest.mark.parametrize(
    "body",
    [
        b"\r\n" + form(("a", b"1")),
        form(("a", b"1"), end=b"--B--"),
        form(("a", b"1"), end=b"--B--\r\nan epilogue"),
        part("form-data; name=a", b"1") + b"--B--",
        part('Form-Data; filename="f"; name="a"', b"1", "Content-Type: text/plain\r\nX: y\r\n") + b"--B--",
        part('form-data; name="a"', b"1", "Content-Transfer-Encoding: Binary\r\n") + b"--B--",
    ],
    ids=["new line first", "no last new line", "epilogue", "no quotes", "other headers", "binary"],
)
def test_what_the_standard_leaves_free_is_read(body: bytes) -> None:
    assert read_parts(body, FORM, MOST) == [Part("a", b"1")]


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "before its last boundary"),
        (b"secret", "cannot be told apart"),
        (form(("a", b"1"), end=b""), "before its last boundary"),
        (form(("a", b"1"), end=b"--B-"), "before its last boundary"),
        (form(("a", b"1"), end=b"--C--"), "before its last boundary"),
        (b"--B\r\nsecret\xff: x\r\n\r\n1\r\n--B--", "cannot be told apart at byte"),
        (b"--B\r\n\r\n1\r\n--B--", "part 1 has no name"),
        (part('attachment; name="a"') + b"--B--", "part 1 has no name"),
        (part('form-data; filename="a"') + b"--B--", "part 1 has no name"),
        (form(("a", b"1"), end=part('form-data; name=""')) + b"--B--", "part 2 has no name"),
        (part('form-data; name="a"', b"eA==", "Content-Transfer-Encoding: base64\r\n") + b"--B--", "is encoded"),
        (part('form-data; name="a"', b"1", "X: y\r\n" * MAX_HEADERS) + b"--B--", "cannot be told apart"),
        (part(f'form-data; name="{"a" * MAX_HEADER_BYTES}"') + b"--B--", "cannot be told apart"),
        (form(*[("a", b"1")] * (MOST + 2)), "more than 10 parts"),
        (form(("a", b"\r\n--Bx" * 100_000)), "more than 10 parts"),
        (part('form-data; name="a"') + b"--B \r\n--B--", "white space follows"),
        (part('form-data; name="a"') + b"--B\t--", "white space follows"),
    ],
)
def test_what_is_no_form_is_refused(body: bytes, told: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises(Invalid, match=told) as refused:
        read_parts(body, FORM, MOST)
    assert refused.value.reason == "multipart_invalid" and refused.value.fix and refused.value.issues
    assert "secret" not in refused.value.detail and caplog.text == ""


@pytest.mark.parametrize("kind", ["multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; b=c"])
def test_a_form_without_a_boundary_is_refused(kind: str) -> None:
    with pytest.raises(Invalid, match="names no boundary"):
        read_parts(form(("a", b"1")), kind, MOST)


def test_a_boundary_that_is_too_long_is_refused() -> None:
    with pytest.raises(Invalid, match="cannot be told apart"):
        read_parts(form(("a", b"1")), f"multipart/form-data; boundary={'B' * 300}", MOST)


def test_files_are_inputs_in_order_and_fields_are_options() -> None:
    wish = prediction_form(form(("file", b"1"), ("top_k", b"3"), ("file", b"2"), ("truncate", b"NONE")), FORM)
    assert (wish.inputs, wish.top_k, wish.truncate) == ([b"1", b"2"], 3, "NONE")
    most = prediction_form(form(*[("file", b"1")] * MAX_INPUTS), FORM)
    assert (len(most.inputs), most.top_k, most.truncate) == (MAX_INPUTS, 1, "END")


@pytest.mark.parametrize(
    ("parts", "place"),
    [
        ([("top_k", b"3")], "/inputs"),
        ([("file", b"1")] * (MAX_INPUTS + 1), "/inputs"),
        ([("file", b"1")] * (MAX_INPUTS + 9), ""),
        ([("file", b"1"), ("topk", b"3")], "/topk"),
        ([("file", b"1"), ("inputs", b"3")], "/inputs"),
        ([("file", b"1"), ("top_k", b"3"), ("top_k", b"3")], "/top_k"),
        ([("file", b"1"), ("top_k", b"")], "/top_k"),
        ([("file", b"1"), ("top_k", b"1.0")], "/top_k"),
        ([("file", b"1"), ("top_k", b"0")], "/top_k"),
        ([("file", b"1"), ("top_k", b"9" * 5_000)], "/top_k"),
        ([("file", b"1"), ("top_k", b"\xb2")], "/top_k"),
        ([("file", b"1"), ("top_k", "\u0663".encode())], "/top_k"),
        ([("file", b"1"), ("truncate", b"end")], "/truncate"),
        ([("file", b"1"), ("a/b", b"")], "/a~1b"),
    ],
)
def test_a_form_that_asks_for_no_prediction_is_refused_at_its_place(parts: list[tuple[str, bytes]], place: str) -> None:
    with pytest.raises(Invalid) as refused:
        prediction_form(form(*parts), FORM)
    assert [issue.pointer for issue in refused.value.issues] == [place]


def test_what_follows_a_file_is_told_of_it() -> None:
    first, second, third = samples_form(
        form(
            ("file", b"1"),
            ("label", b"ants"),
            ("external_id", b"e"),
            ("source", "caf\u00e9".encode()),
            ("metadata", b'{"n": [1, null]}'),
            ("file", b"2"),
            ("file", b"1"),
            ("label", b""),
            ("label", b"bees"),
            ("label", b"wasps"),
        ),
        FORM,
    )
    assert (first.input, first.label, first.labels) == (b"1", "ants", None)
    assert (first.external_id, first.source, first.metadata) == ("e", "café", {"n": [1, None]})
    assert (second.input, second.label, second.labels, second.metadata) == (b"2", None, None, None)
    assert (third.input, third.label, third.labels) == (b"1", None, ["", "bees", "wasps"])


def test_what_stands_before_one_file_is_told_of_it() -> None:
    request = httpx.Request("POST", "http://x", files={"file": b"1"}, data={"label": ["a", "b"], "source": "s"})
    (row,) = samples_form(request.read(), request.headers["content-type"])
    assert (row.input, row.labels, row.source) == (b"1", ["a", "b"], "s")


def test_what_stands_before_several_files_is_told_of_them_in_order() -> None:
    files = [("file", data) for data in (b"1", b"2")]
    request = httpx.Request("POST", "http://x", files=files, data={"label": ["a", "b"]})
    rows = samples_form(request.read(), request.headers["content-type"])
    assert [(row.input, row.label) for row in rows] == [(b"1", "a"), (b"2", "b")]


@pytest.mark.parametrize(
    ("parts", "place"),
    [
        ([], "/samples"),
        ([("label", b"a")], "/samples"),
        ([("label", b"a"), ("file", b"1"), ("file", b"2")], "/samples/0/label"),
        ([("label", b"a"), ("label", b"b"), ("label", b"c"), ("file", b"1"), ("file", b"2")], "/samples/0/label"),
        ([("source", b"a"), ("source", b"b"), ("file", b"1")], "/samples/0/source"),
        ([("source", b"a"), ("source", b"b"), ("file", b"1"), ("file", b"1"), ("source", b"c")], "/samples/1/source"),
        ([("label", b"a"), ("label", b"\xff"), ("file", b"1"), ("file", b"2")], "/samples/1/label"),
        ([("lable", b"a"), ("file", b"1")], "/samples/0/lable"),
        ([("file", b"1"), ("file", b"2"), ("lable", b"a")], "/samples/1/lable"),
        ([("file", b"1"), ("labels", b'["a"]')], "/samples/0/labels"),
        ([("file", b"1"), ("label", b"\xff")], "/samples/0/label"),
        ([("file", b"1"), ("source", b"a"), ("source", b"b")], "/samples/0/source"),
        ([("file", b"1"), ("source", b"a\0")], "/samples/0/source"),
        ([("file", b"1"), ("external_id", b"a" * 257)], "/samples/0/external_id"),
        ([("file", b"1"), ("metadata", b"{")], "/samples/0/metadata"),
        ([("file", b"1"), ("metadata", b"[]")], "/samples/0/metadata"),
        ([("file", b"1"), ("metadata", b'{"a": 1, "a": 2}')], "/samples/0/metadata"),
        ([("file", b"1"), ("metadata", b'{"a": NaN}')], "/samples/0/metadata"),
        ([("file", b"")] * (MAX_ROWS + 1), "/samples"),
    ],
)
def test_a_form_that_is_no_samples_is_refused_at_its_place(parts: list[tuple[str, bytes]], place: str) -> None:
    with pytest.raises(Invalid) as refused:
        samples_form(form(*parts), FORM)
    assert [issue.pointer for issue in refused.value.issues] == [place]
