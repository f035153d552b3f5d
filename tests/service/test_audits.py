"""Audits: what was found in a version's samples, and what somebody decided of it."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence

import httpx
import pytest

from tests.service.asking import PROBLEM_MEMBERS, SAMPLES, Object, Tenant, client, good, listed, refused

TWICE: Object = {"input": SAMPLES[0]["input"], "label": "delivery"}  # contradicts the first sample
LONG: Object = {"input": "refund " * 80, "label": "billing"}  # the tiny backbone reads 64 tokens


@pytest.fixture
def project(tenant: Tenant) -> Iterator[str]:
    """A project of its own whose version 1 has a contradiction and a truncated input among its samples."""
    name = f"p{uuid.uuid4().hex[:8]}"
    tenant.adapt(name, [*SAMPLES, TWICE, LONG])
    yield f"/v1/projects/{name}"
    tenant.http.delete(f"/v1/projects/{name}")


def findings(http: httpx.Client, project: str, code: str, version: int = 1) -> list[Object]:
    found = good(http.get(f"{project}/versions/{version}/audit", params={"code": code}))
    assert {row["code"] for row in found["data"]} <= {code}
    return found["data"]


def fix(http: httpx.Client, project: str, *fixes: Object, **headers: str) -> Object:
    return good(http.post(f"{project}/audit/fixes", json={"fixes": fixes}, headers=headers))


def statuses(reply: Object) -> list[str]:
    return [row["status"] for row in reply["data"]]


def adapt_again(http: httpx.Client, project: str) -> int:
    done = good(http.post(f"{project}/adaptations", json={"wait_seconds": 60}))
    assert done["status"] == "succeeded", done
    return done["version"]


def test_an_audit_names_what_is_wrong_in_the_snapshot(http: httpx.Client, project: str) -> None:
    found = good(http.get(f"{project}/versions/1/audit"))
    assert (found["object"], found["version"], found["samples"]) == ("audit", 1, len(SAMPLES) + 2)
    assert (found["held_out"], found["neighbours"]) == (len(SAMPLES) + 2, "exact")
    one, other = findings(http, project, "duplicate_conflicting_label")
    assert (one["evidence"], other["evidence"]) == ([other["sample"]], [one["sample"]])
    (long,) = findings(http, project, "input_truncated")
    assert (long["label"], long["state"], long["actions"]) == ("billing", "open", ["drop", "keep"])
    assert all(row.keys() >= {"detail", "fix", "pointer", "evidence"} for row in found["data"])
    assert found["summary"]["input_truncated"] == {"found": 1, "listed": 1, "kept": 0}


def test_a_finding_quotes_no_sample(http: httpx.Client, project: str) -> None:
    told = http.get(f"{project}/versions/1/audit").text
    assert told and not any(str(sample["input"]) in told for sample in (*SAMPLES, LONG))


def test_relabelling_dropping_and_keeping_are_one_call_and_change_where_findings_stand(
    http: httpx.Client, project: str
) -> None:
    one, other = findings(http, project, "duplicate_conflicting_label")
    (long,) = findings(http, project, "input_truncated")
    reply = fix(
        http,
        project,
        {"sample": other["sample"], "action": "drop"},
        {"sample": one["sample"], "action": "relabel", "label": "delivery", "expected_label": "billing"},
        {"sample": long["sample"], "action": "keep", "codes": ["input_truncated"]},
    )
    assert (reply["object"], reply["applied"], reply["unchanged"], reply["rejected"]) == ("fix.batch", 3, 0, 0)
    states = {row["sample"]: row["state"] for row in findings(http, project, "duplicate_conflicting_label")}
    assert states == {one["sample"]: "relabelled", other["sample"]: "dropped"}
    assert findings(http, project, "input_truncated")[0]["state"] == "kept"
    refused(http.get(f"{project}/samples/{other['sample']}"), 404, "not_found")
    assert good(http.get(f"{project}/samples/{one['sample']}"))["label"] == "delivery"


def test_what_was_kept_is_not_reported_again_but_counted(http: httpx.Client, project: str) -> None:
    (long,) = findings(http, project, "input_truncated")
    fix(http, project, {"sample": long["sample"], "action": "keep"})
    again = adapt_again(http, project)
    assert findings(http, project, "input_truncated", again) == []
    summary = good(http.get(f"{project}/versions/{again}/audit"))["summary"]
    assert summary["input_truncated"] == {"found": 0, "listed": 0, "kept": 1}
    # It was kept under its label: under another one it is a new question.
    fix(http, project, {"sample": long["sample"], "action": "relabel", "label": "delivery"})
    assert len(findings(http, project, "input_truncated", adapt_again(http, project))) == 1


def test_saying_it_twice_changes_nothing(http: httpx.Client, project: str) -> None:
    one, other = findings(http, project, "duplicate_conflicting_label")
    wishes = (
        {"sample": other["sample"], "action": "drop"},
        {"sample": one["sample"], "action": "relabel", "label": "delivery"},
        {"sample": findings(http, project, "input_truncated")[0]["sample"], "action": "keep"},
    )
    assert statuses(fix(http, project, *wishes)) == ["applied"] * 3
    assert statuses(fix(http, project, *wishes)) == ["unchanged"] * 3


def test_a_repeated_request_gets_its_first_reply(http: httpx.Client, project: str) -> None:
    (long,) = findings(http, project, "input_truncated")
    first = fix(http, project, {"sample": long["sample"], "action": "drop"}, **{"Idempotency-Key": project})
    assert fix(http, project, {"sample": long["sample"], "action": "drop"}, **{"Idempotency-Key": project}) == first


def test_a_row_that_cannot_be_done_says_why_and_the_others_are_done(http: httpx.Client, project: str) -> None:
    one, other = findings(http, project, "duplicate_conflicting_label")
    reply = fix(
        http,
        project,
        {"sample": "smp_nobodys", "action": "keep"},
        {"sample": one["sample"], "action": "relabel", "label": "delivery"},  # the other has the same input and label
        {"sample": one["sample"], "action": "drop", "expected_label": "weather"},
        {"sample": one["sample"], "action": "relabel"},
        {"sample": one["sample"], "action": "keep", "label": "billing"},
        {"sample": one["sample"], "action": "relabel", "label": " "},
        {"sample": other["sample"], "action": "drop"},
    )
    assert statuses(reply) == ["rejected"] * 6 + ["applied"]
    codes = [row["error"]["code"] for row in reply["data"][:-1]]
    expected = ["not_found", "duplicate_exact", "label_changed", "label_missing", "label_unexpected", "label_empty"]
    assert codes == expected
    assert all(row["error"].keys() >= PROBLEM_MEMBERS for row in reply["data"][:-1])
    assert good(http.get(f"{project}/samples/{one['sample']}"))["label"] == "billing"


def test_the_label_that_was_looked_at_is_read_as_labels_are(http: httpx.Client, project: str) -> None:
    (stored,) = good(http.post(f"{project}/samples", json={"samples": [{"input": "a cup", "label": "caf\u00e9"}]}))[
        "data"
    ]
    (bare,) = good(http.post(f"{project}/samples", json={"samples": [{"input": "a glass"}]}))["data"]
    reply = fix(
        http,
        project,
        {"sample": stored["id"], "action": "keep", "expected_label": "cafe\u0301"},
        {"sample": stored["id"], "action": "relabel", "label": "tea", "expected_labels": ["caf\u00e9"]},
        {"sample": bare["id"], "action": "drop", "expected_label": "billing"},
    )
    assert statuses(reply) == ["applied", "applied", "rejected"], reply
    assert reply["data"][2]["error"]["code"] == "label_changed", "one without a label has not that one"


def test_a_request_of_which_nothing_can_be_done_is_refused_row_by_row(http: httpx.Client, project: str) -> None:
    sent = {"fixes": [{"sample": "smp_nobodys", "action": "keep"}]}
    found = refused(http.post(f"{project}/audit/fixes", json=sent), 422, "not_found")
    assert statuses(found) == ["rejected"]


def test_fixes_need_the_scope_to_annotate_and_a_known_action(tenant: Tenant, project: str) -> None:
    body: Object = {"fixes": [{"sample": "smp_nobodys", "action": "drop"}]}
    with client(tenant.url, tenant.issue(["predict", "adapt"])["secret"]) as other:
        refused(other.post(f"{project}/audit/fixes", json=body), 403)
    with client(tenant.url, tenant.issue(["annotate"])["secret"]) as annotator:
        assert statuses(good(annotator.post(f"{project}/audit/fixes", json=body))) == ["unchanged"]
    wrongs: list[Object] = [
        {"fixes": []},
        {"fixes": [{"sample": "s", "action": "burn"}]},
        {"fixes": body["fixes"] * 1001},
    ]
    for wrong in wrongs:
        refused(tenant.http.post(f"{project}/audit/fixes", json=wrong), 422, "invalid")


def test_another_tenants_sample_is_as_unknown_as_none(tenant: Tenant, stranger: Tenant, project: str) -> None:
    (long,) = findings(tenant.http, project, "input_truncated")
    stranger.adapt("theirs")
    for action in ("drop", "keep"):
        asked: list[Object] = [{"sample": sample, "action": action} for sample in (long["sample"], "smp_nobodys")]
        told = stranger.http.post("/v1/projects/theirs/audit/fixes", json={"fixes": asked}).json()["data"]
        mine, nobodys = ({**row, "index": 0, "sample": ""} for row in told)
        assert str(mine).replace(long["sample"], "smp_nobodys") == str(nobodys)
    assert good(tenant.http.get(f"{project}/samples/{long['sample']}"))["status"] == "accepted"


@pytest.mark.parametrize("policy", [[], ["input_truncated", "duplicate_exact"]])
def test_samples_are_set_aside_by_policy_only(http: httpx.Client, project: str, policy: Sequence[str]) -> None:
    changed = good(http.patch(project, json={"policy": {"quarantine": policy}}))
    assert changed["policy"]["quarantine"] == policy
    second = adapt_again(http, project)
    (long,) = findings(http, project, "input_truncated", second)
    sample = good(http.get(f"{project}/samples/{long['sample']}"))
    assert (sample["status"], long["state"]) == (("quarantined", "quarantined") if policy else ("accepted", "open"))
    assert [issue["code"] for issue in sample["issues"]] == policy[:1]
    assert len(listed(http, f"{project}/samples", issue="input_truncated")) == len(policy[:1])
    again = good(
        http.post(f"{project}/samples", json={"samples": [{name: sample[name] for name in ("input", "label")}]})
    )
    assert (again["duplicates"], again["quarantined"]) == ((0, 1) if policy else (1, 0))
    assert again["data"][0]["id"] == sample["id"]
    third = adapt_again(http, project)
    trained = good(http.get(f"{project}/versions/{third}/audit"))["samples"]
    assert trained == len(SAMPLES) + 2 - len(policy[:1])


def test_keeping_or_relabelling_ends_the_quarantine(http: httpx.Client, project: str) -> None:
    http.patch(project, json={"policy": {"quarantine": ["input_truncated"]}}).raise_for_status()
    (long,) = findings(http, project, "input_truncated", adapt_again(http, project))
    assert long["state"] == "quarantined"
    assert statuses(fix(http, project, {"sample": long["sample"], "action": "keep"})) == ["applied"]
    sample = good(http.get(f"{project}/samples/{long['sample']}"))
    assert (sample["status"], sample["issues"]) == ("accepted", [])
    # What somebody found right is not set aside again.
    version = adapt_again(http, project)
    assert findings(http, project, "input_truncated", version) == []
    assert good(http.get(f"{project}/samples/{long['sample']}"))["status"] == "accepted"


def test_an_unknown_policy_is_refused(http: httpx.Client, project: str) -> None:
    refused(http.patch(project, json={"policy": {"quarantine": ["everything"]}}), 422, "invalid")
