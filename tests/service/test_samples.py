"""/v1/projects/{p}/samples: every row has its own outcome."""

from __future__ import annotations

import json
import uuid

import httpx
import pytest

from tests.service.asking import Object, Tenant, good, listed, refused


@pytest.fixture
def samples(tenant: Tenant) -> str:
    """The samples' path of a fresh project."""
    made = good(tenant.http.post("/v1/projects", json={"name": f"p{uuid.uuid4().hex}"}))
    return f"/v1/projects/{made['id']}/samples"


def add(http: httpx.Client, path: str, *rows: Object, **params: str) -> Object:
    return good(http.post(path, json={"samples": rows}, params=params))


def test_a_batch_tells_the_outcome_of_every_row(http: httpx.Client, samples: str) -> None:
    batch = add(
        http,
        samples,
        {"input": "pay", "label": "a"},
        {"input": "pay", "label": "a"},
        {"input": "pay", "label": "b"},
        {"input": " ", "label": "a"},
        {"input": "late"},
    )
    assert batch["object"] == "sample.batch"
    assert [row["index"] for row in batch["data"]] == [0, 1, 2, 3, 4]
    assert [row["status"] for row in batch["data"]] == ["accepted", "duplicate", "accepted", "rejected", "accepted"]
    counts = [batch[name] for name in ("accepted", "duplicates", "quarantined", "rejected")]
    assert counts == [3, 1, 0, 1]
    assert [(row["id"] or "").startswith("smp_") for row in batch["data"]] == [True, True, True, False, True]
    codes = [[issue["code"] for issue in row["issues"]] for row in batch["data"]]
    assert codes[1:4] == [["duplicate_exact"], ["duplicate_conflicting_label"], ["input_empty"]]
    assert batch["data"][2]["issues"][0]["evidence"] == [batch["data"][0]["id"]]
    assert batch["data"][3]["issues"][0]["pointer"] == "/samples/3/input"
    assert batch["data"][3]["issues"][0]["fix"]


def test_readiness_tells_what_is_missing(http: httpx.Client, samples: str) -> None:
    one = add(http, samples, {"input": "pay", "label": "a"})["readiness"]
    assert (one["labels"], one["min_per_label"], one["method_now"]) == (1, 1, None)
    assert one["next"]["method"] == "head"
    rows = [{"input": f"order {n}", "label": label} for n in range(2) for label in ("b", "c")]
    assert add(http, samples, *rows)["readiness"]["labels"] == 3
    ready = add(http, samples, {"input": "charge", "label": "a"})["readiness"]
    assert (ready["method_now"], ready["next"]["method"]) == ("head", "lora")
    assert "TSUGIKI_TRAINER" in ready["next"]["needs"], "it is switched off here"


@pytest.mark.parametrize(
    ("row", "code", "place"),
    [
        ({"label": "a"}, "input_missing", "input"),
        ({"input": None, "label": "a"}, "input_missing", "input"),
        ({"input": "", "label": "a"}, "input_empty", "input"),
        ({"input": " \t\u3000\n", "label": "a"}, "input_empty", "input"),
        ({"input": "x" * 70_000, "label": "a"}, "input_too_long", "input"),
        ({"input": {"url": "http://localhost/x"}, "label": "a"}, "url_forbidden", "input"),
        ({"input": {"base64": "aGk="}, "label": "a"}, "input_invalid", "input"),
        ({"input": "a\0b", "label": "a"}, "input_invalid", "input"),
        ({"input": 7, "label": "a"}, "input_invalid", "input"),
        ({"input": "pay", "label": " "}, "label_empty", "label"),
        ({"input": "pay", "label": "x" * 10_000}, "label_too_long", "label"),
        ({"input": "pay", "label": "a\0"}, "label_invalid", "label"),
    ],
)
def test_a_bad_row_is_told_by_its_code(http: httpx.Client, samples: str, row: Object, code: str, place: str) -> None:
    batch = add(http, samples, {"input": "good", "label": "a"}, row)
    assert (batch["accepted"], batch["rejected"]) == (1, 1)
    issue = batch["data"][1]["issues"][0]
    assert (issue["code"], issue["pointer"]) == (code, f"/samples/1/{place}")
    alone = add(http, samples, row)
    assert (alone["rejected"], alone["data"][0]["issues"][0]["code"]) == (1, code)
    refused(http.post(samples, json={"samples": [row]}, params={"on_error": "fail"}), 422, code)


def test_on_error_fail_stores_none(http: httpx.Client, samples: str) -> None:
    body = {"samples": [{"input": "pay", "label": "a"}, {"input": ""}]}
    found = refused(http.post(samples, json=body, params={"on_error": "fail"}), 422, "input_empty")
    assert [place["pointer"] for place in found["errors"]] == ["/samples/1/input"]
    assert listed(http, samples) == []


def test_validate_only_tells_the_same_and_stores_none(http: httpx.Client, samples: str) -> None:
    rows = ({"input": "pay", "label": "a"}, {"input": "pay", "label": "b"}, {"input": ""})
    told = add(http, samples, *rows, validate_only="true")
    assert listed(http, samples) == []
    done = add(http, samples, *rows)
    assert [row["status"] for row in told["data"]] == [row["status"] for row in done["data"]]
    assert [row["id"] for row in told["data"]] == [None, None, None]


def test_lines_of_json_are_read_as_samples(http: httpx.Client, samples: str) -> None:
    lines = "\n".join(json.dumps({"input": f"order {n}", "label": "a"}) for n in range(3)) + "\n\n"
    ndjson = {"content-type": "application/x-ndjson"}
    assert good(http.post(samples, content=lines, headers=ndjson))["accepted"] == 3
    found = refused(http.post(samples, content='{"input":"x"}\n{"input":', headers=ndjson), 422, "json_invalid")
    assert found["errors"][0]["pointer"] == "/samples/1"
    found = refused(http.post(samples, content='{"input":"x","lable":"y"}', headers=ndjson), 422)
    assert found["errors"][0]["pointer"] == "/samples/0/lable"
    refused(http.post(samples, content="\n \n", headers=ndjson), 422, "rows_out_of_range")
    found = refused(http.post(samples, content='\n{"input":"x"}\n\n{bad', headers=ndjson), 422, "json_invalid")
    assert found["errors"][0]["pointer"] == "/samples/1"
    assert found["detail"].startswith("line 4: ") and found["detail"].endswith("at column 2")


def test_a_form_of_files_is_no_texts(http: httpx.Client, samples: str) -> None:
    files = [("file", b"\x89PNG"), ("label", (None, "a")), ("file", b"pay"), ("label", (None, " "))]
    found = good(http.post(samples, files=files))
    codes = [[issue["code"] for issue in row["issues"]] for row in found["data"]]
    assert (found["rejected"], codes) == (2, [["input_invalid"], ["input_invalid", "label_empty"]])
    issue = found["data"][0]["issues"][0]
    assert issue["pointer"] == "/samples/0/input" and "reads text" in issue["detail"]
    refused(http.post(samples, files=[files[1], *files]), 422, "multipart_invalid")
    assert listed(http, samples) == []


def test_a_text_is_given_back_as_it_is_kept(http: httpx.Client, samples: str, stranger: Tenant) -> None:
    kept = add(http, samples, {"input": "<b>Cafe\u0301</b> 😀", "label": "a"})["data"][0]["id"]
    given = http.get(f"{samples}/{kept}/content")
    assert (given.status_code, given.text) == (200, "<b>Café</b> 😀")
    assert given.headers["content-type"] == "text/plain; charset=utf-8"
    assert given.headers["content-disposition"].startswith("attachment")
    assert given.headers["x-content-type-options"] == "nosniff"
    refused(http.get(f"{samples}/smp_0/content"), 404)
    refused(stranger.http.get(f"{samples}/{kept}/content"), 404)


def test_a_sample_keeps_what_was_said_of_it(http: httpx.Client, samples: str) -> None:
    row = {
        "input": "Cafe\u0301 😀",
        "label": " a ",
        "external_id": "e1",
        "source": "mail",
        "metadata": {"n": [1, 2.5, None], "o": {"x": True}},
    }
    made = good(http.get(f"{samples}/{add(http, samples, row)['data'][0]['id']}"))
    assert made["object"] == "sample" and made["status"] == "accepted" and made["issues"] == []
    assert (made["input"], made["label"]) == ("Café 😀", "a")
    assert {name: made[name] for name in ("external_id", "source", "metadata")} == {
        name: row[name] for name in ("external_id", "source", "metadata")
    }


def test_samples_are_filtered_and_listed_in_pages(http: httpx.Client, samples: str) -> None:
    rows = [{"input": f"order {n}", "label": "ab"[n % 2], "source": f"s{n % 3}"} for n in range(7)]
    add(http, samples, *rows, {"input": "order 0", "label": "b"}, {"input": "unlabelled"})
    assert len(listed(http, samples)) == 9
    assert [sample["input"] for sample in listed(http, samples, label="a")] == [f"order {n}" for n in (0, 2, 4, 6)]
    assert len(listed(http, samples, source="s0")) == 3
    found = listed(http, samples, issue="duplicate_conflicting_label")
    assert {sample["input"] for sample in found} == {"order 0"}
    assert listed(http, samples, label="a", source="nowhere") == []
    for name in ("label", "source", "issue"):
        refused(http.get(samples, params={name: "a\0"}), 422, "nul_character")


def test_only_the_label_may_change(http: httpx.Client, samples: str) -> None:
    batch = add(http, samples, {"input": "pay", "label": "a"}, {"input": "pay", "label": "b"})
    first, second = (f"{samples}/{row['id']}" for row in batch["data"])
    assert good(http.put(f"{first}/label", json={"label": " c "}))["label"] == "c"
    refused(http.put(f"{first}/label", json={"label": "b"}), 409, "duplicate_exact")
    refused(http.put(f"{first}/label", json={"label": ""}), 422, "label_empty")
    refused(http.put(first, json={"input": "other"}), 405)
    good(http.delete(second))
    assert good(http.get(first))["issues"] == []


def test_a_deleted_sample_is_gone(http: httpx.Client, samples: str) -> None:
    path = f"{samples}/{add(http, samples, {'input': 'pay', 'label': 'a'})['data'][0]['id']}"
    assert good(http.delete(path))["input"] == "pay"
    for reply in (http.get(path), http.delete(path), http.put(f"{path}/label", json={"label": "b"})):
        refused(reply, 404)


def test_the_quota_bounds_samples_and_projects(stranger: Tenant) -> None:
    good(stranger.operator.put(f"/admin/v1/tenants/{stranger.id}/quota", json={"projects": 1, "samples": 3}))
    path = f"/v1/projects/{good(stranger.http.post('/v1/projects', json={'name': 'only'}))['id']}/samples"
    rows = [{"input": f"order {n}"} for n in range(4)]
    refused(stranger.http.post(path, json={"samples": rows}), 413, "quota_exceeded")
    assert add(stranger.http, path, *rows[:3])["accepted"] == 3
    assert add(stranger.http, path, *rows[:3])["duplicates"] == 3, "what is there already takes nothing"
    refused(stranger.http.post(path, json={"samples": rows}), 413, "quota_exceeded")
    refused(stranger.http.post("/v1/projects", json={"name": "second"}), 413, "quota_exceeded")
    assert stranger.usage() == {"projects": 1, "samples": 3, "versions": 0, "bytes": 0}
