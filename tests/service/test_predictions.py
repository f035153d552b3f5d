"""Predictions: chosen version, ranked labels, bad rows in place, and an honest "I don't know"."""

from __future__ import annotations

import httpx
import pytest

from tests.service.asking import PROBLEM_MEMBERS, SAMPLES, Tenant, good, refused

PRECISION = 0.6  # what a dozen rows without a mistake are enough to show, and guessing between two labels is not
LONG = "order " * 100  # the tiny backbone reads 64 tokens


def test_an_answer_has_every_field_of_the_contract(http: httpx.Client, support: str) -> None:
    answered = good(http.post(f"{support}/predict", json={"inputs": ["refund my money", "parcel is late"]}))
    assert answered["object"] == "prediction.list"
    assert (answered["project"], answered["version"], answered["alias"]) == ("support", 2, "live")
    assert answered["method"] == "head"
    first = answered["data"][0]
    assert (first["index"], first["outcome"], first["label"], first["truncated"]) == (0, "label", "billing", False)
    assert first["scores"] == [{"label": "billing", "score": first["score"]}]
    assert answered["data"][1]["label"] == "delivery"
    assert answered["usage"]["inputs"] == 2 and answered["usage"]["tokens"] > 4


def test_version_and_alias_choose_who_answers(http: httpx.Client, support: str) -> None:
    body = {"inputs": ["weather rain"], "top_k": 10}
    first = good(http.post(f"{support}/predict?version=1", json=body))
    second = good(http.post(f"{support}/predict?alias=live", json=body))
    assert (first["version"], first["alias"], len(first["data"][0]["scores"])) == (1, None, 2)
    assert (second["version"], second["alias"], len(second["data"][0]["scores"])) == (2, "live", 3)
    verb = good(http.post("/predict", json={"project": "support", "version": 1, **body}))
    assert verb["data"] == first["data"]
    refused(http.post(f"{support}/predict?version=99", json=body), 404)


def test_top_k_ranks_the_labels_and_the_scores_are_probabilities(http: httpx.Client, support: str) -> None:
    row = good(http.post(f"{support}/predict", json={"inputs": ["pay the bill"], "top_k": 3}))["data"][0]
    scores = [score["score"] for score in row["scores"]]
    assert scores == sorted(scores, reverse=True) and sum(scores) == pytest.approx(1, abs=1e-5)
    assert row["scores"][0] == {"label": row["label"], "score": row["score"]}


def test_a_raw_text_is_one_input(http: httpx.Client, support: str) -> None:
    reply = http.post(f"{support}/predict", content="refund my money", headers={"content-type": "text/plain"})
    as_json = good(http.post(f"{support}/predict", json={"inputs": ["refund my money"]}))
    assert good(reply) == as_json


@pytest.mark.parametrize("kind", ["image/png", "audio/wav", "application/octet-stream"])
@pytest.mark.parametrize("body", [b"\x89PNG", b"refund my money", b"", b"\xff" * 200_000])
def test_a_file_is_no_text(http: httpx.Client, support: str, kind: str, body: bytes) -> None:
    reply = http.post(f"{support}/predict", content=body, headers={"content-type": kind})
    found = refused(reply, 422, "input_invalid")
    assert "the project reads text" in found["detail"] and found["errors"][0]["pointer"] == "/inputs/0"


def test_a_form_of_files_is_no_texts(http: httpx.Client, support: str) -> None:
    reply = http.post(f"{support}/predict", files=[("file", b"1"), ("file", b"2" * 200_000)], data={"top_k": "2"})
    found = refused(reply, 422, "input_invalid")
    assert [place["pointer"] for place in found["errors"]] == ["/inputs/0", "/inputs/1"]
    refused(http.post(f"{support}/predict", files={"image": b"1"}), 422, "multipart_invalid")
    refused(http.post(f"{support}/predict", headers={"content-type": "multipart/form-data"}), 422, "multipart_invalid")


def test_a_text_beyond_the_window_is_cut_or_refused_as_asked(http: httpx.Client, support: str) -> None:
    cut = good(http.post(f"{support}/predict", json={"inputs": [LONG, "pay"]}))
    assert [row["truncated"] for row in cut["data"]] == [True, False]
    strict = good(http.post(f"{support}/predict", json={"inputs": [LONG, "pay"], "truncate": "NONE"}))
    assert strict["data"][0]["error"]["code"] == "input_too_long" and strict["data"][1]["label"]
    refused(http.post(f"{support}/predict", json={"inputs": [LONG], "truncate": "NONE"}), 422, "input_too_long")


def test_a_bad_row_fails_alone_and_all_bad_rows_fail_the_request(http: httpx.Client, support: str) -> None:
    inputs = ["pay", "", {"url": "http://localhost"}, None, 5, "late"]
    rows = good(http.post(f"{support}/predict", json={"inputs": inputs}))["data"]
    assert [row["index"] for row in rows] == [0, 1, 2, 3, 4, 5]
    codes = [row["error"]["code"] if "error" in row else row["outcome"] for row in rows]
    assert codes == ["label", "input_empty", "url_forbidden", "input_missing", "input_invalid", "label"]
    assert rows[1]["error"]["status"] == 422 and rows[1]["error"]["fix"]
    told = http.post("/predict", json={"project": support.rsplit("/", 1)[1], "inputs": ["pay", ""]})
    error = good(told)["data"][1]["error"]
    assert error.keys() >= PROBLEM_MEMBERS
    assert (error["instance"], error["request_id"]) == ("/predict", told.headers["x-request-id"])
    found = refused(http.post(f"{support}/predict", json={"inputs": ["", " "]}), 422, "input_empty")
    assert [place["pointer"] for place in found["errors"]] == ["/inputs/0", "/inputs/1"]


def test_a_text_is_read_as_its_charset_says_or_not_at_all(http: httpx.Client, support: str) -> None:
    for kind in ("text/plain", "text/plain; charset=UTF-8", 'text/plain; charset="utf-8"'):
        good(http.post(f"{support}/predict", content="café".encode(), headers={"content-type": kind}))
    latin = {"content-type": "text/plain; charset=iso-8859-1"}
    refused(http.post(f"{support}/predict", content="café".encode("latin-1"), headers=latin), 415, "unsupported_type")


def test_a_row_is_answered_alike_in_any_company(http: httpx.Client, support: str) -> None:
    texts = [str(sample["input"]) for sample in SAMPLES]
    together = good(http.post(f"{support}/predict", json={"inputs": texts}))["data"]
    alone = [good(http.post(f"{support}/predict", json={"inputs": [text]}))["data"][0] for text in texts]
    assert [row["label"] for row in together] == [row["label"] for row in alone]
    assert [row["score"] for row in together] == pytest.approx([row["score"] for row in alone], abs=1e-5)


def test_a_policy_of_precision_abstains_where_it_was_not_held(tenant: Tenant) -> None:
    # Two labels that no linear head can tell apart, beside two that it can: only a threshold keeps the precision.
    noise = [
        {"input": f"how why what {n} {word}", "label": "ab"[(n + swap) % 2]}
        for n in range(20)
        for swap, word in enumerate(("who", "when"))
    ]
    tenant.adapt("unsure", [*SAMPLES, *noise])
    path = "/v1/projects/unsure"
    inputs = [str(row["input"]) for row in (*noise[:10], *SAMPLES)]
    before = good(tenant.http.post(f"{path}/predict", json={"inputs": inputs}))["data"]
    assert {row["outcome"] for row in before} == {"label"}
    good(tenant.http.patch(path, json={"policy": {"abstain": {"target_precision": PRECISION}}}))
    rows = good(tenant.http.post(f"{path}/predict", json={"inputs": inputs, "top_k": 2}))["data"]
    held_back = [row for row in rows if row["outcome"] == "abstain"]
    assert 0 < len(held_back) < len(rows) and all(
        row["label"] is None and row["score"] and row["scores"] for row in held_back
    )
    points = good(tenant.http.get(f"{path}/versions/1/evaluation"))["risk_coverage"]
    below = min(point["threshold"] for point in points if point["ci95"][0] >= PRECISION)
    assert [row["outcome"] for row in rows] == ["abstain" if row["score"] < below else "label" for row in rows]
    good(tenant.http.patch(path, json={"policy": {"abstain": None}}))
    assert good(tenant.http.post(f"{path}/predict", json={"inputs": inputs}))["data"] == before


def test_before_any_version_the_conflict_says_what_to_do(http: httpx.Client) -> None:
    good(http.post("/v1/projects", json={"name": "empty"}))
    found = refused(http.post("/v1/projects/empty/predict", json={"inputs": ["pay"]}), 409, "no_version")
    assert "/adapt" in found["fix"]
