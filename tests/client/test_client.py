"""The client against a real service with a tiny backbone."""

from __future__ import annotations

import subprocess
import sys
import time
import uuid
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from service.launch import Running
from tsugiki.client import Adapted, Client, TsugikiProblem
from tsugiki.client.transport import ATTEMPTS, Transport

SAMPLES = [
    (f"{start} {end}", label)
    for label, starts in {
        "billing": ("refund my money", "charge on my card", "pay the bill", "price on the account"),
        "delivery": ("parcel is late", "delivery arrive today", "order lost", "where is my order"),
    }.items()
    for start in starts
    for end in ("please", "help", "thanks")
]


@pytest.fixture(scope="module")
def client(server: Running) -> Iterator[Client]:
    with Client(server.url, server.key) as client:
        yield client


@pytest.fixture(scope="module")
def adapted(client: Client) -> Adapted:
    """A project with one version, which no test changes."""
    return client.adapt(_name(), SAMPLES, wait_seconds=60)


@pytest.fixture
def own(client: Client) -> Iterator[str]:
    """A project with two versions, the second one live, for a test to change."""
    name = _name()
    client.adapt(name, SAMPLES, wait_seconds=60)
    client.adaptations.start(name, promote="always", wait_seconds=60)
    yield name
    client.projects.delete(name)


def test_adapt_makes_the_project_and_its_first_version(adapted: Adapted) -> None:
    assert adapted.samples.accepted == len(SAMPLES)
    assert (adapted.adaptation.status, adapted.adaptation.version) == ("succeeded", 1)
    assert adapted.adaptation.promoted
    assert adapted.adaptation.timings["total_ms"] > 0


def test_predict_takes_one_text_or_many(client: Client, adapted: Adapted) -> None:
    one = client.predict(adapted.project, "refund my money please", top_k=2)
    assert one[0].label == "billing"
    assert [score.label for score in one[0].scores] == ["billing", "delivery"]
    assert sum(score.score for score in one[0].scores) == pytest.approx(1.0, abs=1e-5)
    many = client.predict(adapted.project.name, ["parcel is late help", "pay the bill help"], version=1)
    assert (many.labels, many.version, many.alias) == (["delivery", "billing"], 1, None)


def test_more_inputs_than_a_request_holds_are_answered_by_one_version(client: Client, adapted: Adapted) -> None:
    answers = client.predict(adapted.project, ["pay", "late"] * 515)
    assert [answer.index for answer in answers] == list(range(1030))
    assert len(answers.raw) == 2
    assert answers.raw[1]["version"] == answers.version


def test_a_bad_input_fails_alone(client: Client, adapted: Adapted) -> None:
    good, bad = client.predict(adapted.project, ["pay the bill", " "])
    assert good.label == "billing"
    assert bad.problem is not None and bad.problem.code == "input_empty"
    assert good.familiarity == good.raw.get("familiarity") and bad.familiarity is None


def test_a_refusal_says_what_and_where(client: Client, adapted: Adapted) -> None:
    with pytest.raises(TsugikiProblem) as missing:
        client.predict(_name(), "pay")
    assert (missing.value.status, missing.value.code) == (404, "not_found")
    assert missing.value.request_id
    with pytest.raises(TsugikiProblem) as wrong:
        client.predict(adapted.project, "pay", top_k=0)
    assert (wrong.value.status, wrong.value.errors[0]["pointer"]) == (422, "/top_k")


def test_projects_are_made_listed_changed_and_erased(client: Client) -> None:
    made = client.projects.create(_name(), labels=["a", {"name": "b", "description": "the second"}])
    assert made.labels == ("a", "b")
    assert made.id in [project.id for project in client.projects.list()]
    renamed = client.projects.update(made.id, name=_name())
    assert client.projects.get(renamed).id == made.id
    client.projects.delete(made.id)
    with pytest.raises(TsugikiProblem, match="404"):
        client.projects.get(made.id)


def test_samples_are_listed_over_pages_relabelled_and_deleted(client: Client) -> None:
    project = client.projects.create(_name())
    batch = client.samples.add(project, [(f"order {i}", "x" if i % 2 else "y") for i in range(150)])
    assert (batch.accepted, [row["index"] for row in batch.rows]) == (150, list(range(150)))
    assert len({sample["id"] for sample in client.samples.list(project)}) == 150
    assert sum(1 for _ in client.samples.list(project, label="x")) == 75
    first = batch.rows[0]["id"]
    assert client.samples.relabel(project, first, "z")["label"] == "z"
    assert client.samples.get(project, first)["label"] == "z"
    client.samples.delete(project, first)
    assert first not in [sample["id"] for sample in client.samples.list(project)]


def test_validation_alone_stores_nothing(client: Client) -> None:
    project = client.projects.create(_name())
    batch = client.samples.add(project, [("order", "x"), ("", "x")], validate_only=True)
    assert (batch.accepted, batch.rejected) == (1, 1)
    assert list(client.samples.list(project)) == []


def test_adaptations_are_followed_to_their_end(client: Client, adapted: Adapted) -> None:
    begun = client.adaptations.start(adapted.project, method="head", hyperparameters={"l2": 0.5}, promote="never")
    done = client.adaptations.wait(begun)
    assert (done.status, done.promoted) == ("succeeded", False)
    assert done.id in [adaptation.id for adaptation in client.adaptations.list(adapted.project)]
    assert "phase" in {event["type"] for event in client.adaptations.events(done)}
    assert client.versions.get(adapted.project, done.version or 0).method == "head"


def test_events_are_followed_from_the_first_to_the_last(client: Client, adapted: Adapted) -> None:
    begun = client.adaptations.start(adapted.project, promote="never")
    told = list(client.adaptations.follow(begun))
    assert told == client.adaptations.events(begun)
    assert told[-1]["data"]["phase"] == "promote"
    assert list(client.adaptations.follow(begun, after=told[2]["id"])) == told[3:]
    done = client.adaptations.get(begun)
    assert (done.status, done.follows, done.eta_s) == ("succeeded", None, None)


def test_a_plan_says_what_would_run_and_trains_nothing(client: Client, adapted: Adapted) -> None:
    before = len(list(client.adaptations.list(adapted.project)))
    assert client.adaptations.plan(adapted.project)["chosen"] == "head"
    chosen = client.adaptations.plan(adapted.project, method="head", hyperparameters={"l2": 0.5, "seed": 1})
    assert chosen["chosen"] == "head"
    with pytest.raises(TsugikiProblem, match="hyperparameter_invalid"):
        client.adaptations.plan(adapted.project, method="head", hyperparameters={"rank": 4})
    assert len(list(client.adaptations.list(adapted.project))) == before


def test_cancelling_what_has_ended_changes_nothing(client: Client, adapted: Adapted) -> None:
    assert client.adaptations.cancel(adapted.adaptation).status == "succeeded"
    assert client.predict(adapted.project, "pay").version == 1


def test_a_version_is_documented(client: Client, adapted: Adapted) -> None:
    version = client.versions.get(adapted.project, 1)
    assert (version.number, version.labels) == (1, ("billing", "delivery"))
    assert client.versions.evaluation(adapted.project, 1)["accuracy"]
    assert client.versions.audit(adapted.project, 1)
    assert client.versions.card(adapted.project, 1).startswith("# ")


def test_the_alias_moves_only_from_where_it_was_expected(client: Client, own: str) -> None:
    assert [version.number for version in client.versions.list(own)] == [1, 2]
    assert client.versions.rollback(own).version == 1
    assert client.predict(own, "pay").version == 1
    with pytest.raises(TsugikiProblem) as moved:
        client.versions.move_alias(own, 2, expected_version=2)
    assert moved.value.status == 409
    assert client.versions.move_alias(own, 2, expected_version=1).version == 2
    assert client.versions.aliases(own)["live"].version == 2
    assert [move["to_version"] for move in client.versions.history(own)] == [2, 1, 2, 1]


def test_an_export_is_downloaded_whole_and_answers(client: Client, own: str, tmp_path: Path) -> None:
    export = client.exports.wait(client.exports.create(own, 2))
    assert (export.status, export.problem) == ("succeeded", None)
    path = client.exports.download(export, tmp_path / "export.zip")
    assert path.stat().st_size == export.bytes
    with zipfile.ZipFile(path) as archive:
        assert "predict.py" in archive.namelist()


def test_a_download_that_is_not_the_export_is_not_kept(client: Client, own: str, tmp_path: Path) -> None:
    export = client.exports.wait(client.exports.create(own, 1))
    with pytest.raises(OSError, match="sha256"):
        client.exports.download(replace(export, sha256="0" * 64), tmp_path / "export.zip")
    assert list(tmp_path.iterdir()) == []


def test_keys_are_made_used_and_revoked(client: Client, server: Running) -> None:
    tenant = client.admin.create_tenant(_name())["id"]
    key = client.admin.create_key(tenant, scopes=["predict"], name="reader")
    with Client(server.url, key["secret"]) as reader:
        assert reader.me()["scopes"] == ["predict"]
        with pytest.raises(TsugikiProblem, match="403"):
            reader.projects.create(_name())
        client.admin.revoke_key(tenant, key["id"])
        with pytest.raises(TsugikiProblem, match="401"):
            reader.me()
    assert tenant in [known["id"] for known in client.admin.tenants()]
    assert [known["revoked_at"] is not None for known in client.admin.keys(tenant)] == [True]


def test_a_throttled_call_is_made_again_when_the_service_says(client: Client, server: Running) -> None:
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        time.sleep(seconds)

    transport = _throttled(client, server, requests_per_second=2, pause=pause)
    for _ in range(6):  # the quota lets four pass at once
        assert transport.get("/v1/me")["tenant"]
    assert pauses and set(pauses) == {1.0}
    transport.close()


def test_a_call_that_stays_throttled_is_given_up(client: Client, server: Running) -> None:
    pauses: list[float] = []
    transport = _throttled(client, server, requests_per_second=0.1, pause=pauses.append)
    transport.get("/v1/me")  # the one request that any rate allows at first
    with pytest.raises(TsugikiProblem) as refused:
        transport.get("/v1/me")
    assert (refused.value.status, refused.value.code) == (429, "overloaded")
    assert len(pauses) == ATTEMPTS - 1
    transport.close()


def test_the_environment_names_service_and_key(server: Running) -> None:
    code = "from tsugiki.client import Client\nwith Client() as c: print(c.backbones.list()[0]['name'])"
    environment = {"TSUGIKI_URL": server.url, "TSUGIKI_KEY": server.key, "PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip()


def _throttled(
    client: Client, server: Running, *, requests_per_second: float, pause: Callable[[float], None]
) -> Transport:
    tenant = client.admin.create_tenant(_name())["id"]
    key = client.admin.create_key(tenant, scopes=["admin"])["secret"]
    client.admin.set_quota(tenant, requests_per_second=requests_per_second)
    return Transport(server.url, key, timeout_s=10, pause=pause)


def _name() -> str:
    return f"p{uuid.uuid4().hex[:12]}"


def test_findings_are_fixed_by_relabelling_dropping_and_keeping(client: Client, own: str) -> None:
    first, second, third = [row["id"] for row in client.samples.list(own)][:3]
    assert client.audits.relabel(own, {first: "delivery"})["applied"] == 1
    assert client.audits.drop(own, [second])["applied"] == 1
    assert client.audits.keep(own, [third], codes=["outlier"])["applied"] == 1
    again = client.audits.fix(own, [{"sample": second, "action": "drop"}, {"sample": third, "action": "keep"}])
    assert [row["status"] for row in again["data"]] == ["unchanged", "applied"]
    assert client.samples.get(own, first)["label"] == "delivery"
    assert client.versions.audit(own, 1, code="input_truncated")["data"] == []
    with pytest.raises(TsugikiProblem) as refused:
        client.audits.keep(own, [second])
    assert (refused.value.status, refused.value.code) == (422, "not_found")


def test_more_fixes_than_a_request_holds_are_told_in_one_list(client: Client, own: str) -> None:
    told = client.audits.drop(own, [f"smp_{n}" for n in range(1_001)])
    assert [row["index"] for row in told["data"]] == list(range(1_001))
    assert told["unchanged"] == 1_001
