"""Pictures and sounds, from what curl or the client sends to what is kept, given back and answered."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import subprocess
import sys
import uuid
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx
import numpy as np
import pytest
import soundfile
from PIL import Image

from service.launch import Running
from tests.service.asking import Object, Tenant, good, listed, new_tenant, refused
from tsugiki.client import Adapted, Audio, Client, TsugikiProblem
from tsugiki.client import inputs as client_inputs
from tsugiki.client.inputs import file_of

SIZE = 48  # pixels a side
COLOURS = {"warm": (220, 120, 40), "cold": (40, 120, 220)}


@pytest.fixture
def pictures(tenant: Tenant) -> str:
    return fresh(tenant, "image")


@pytest.fixture
def sounds(tenant: Tenant) -> str:
    return fresh(tenant, "audio")


def fresh(tenant: Tenant, modality: str) -> str:
    """The path of a project without samples."""
    return f"/v1/projects/{good(tenant.http.post('/v1/projects', json={'name': name(), 'modality': modality}))['id']}"


def name() -> str:
    return f"p{uuid.uuid4().hex[:12]}"


def picture(label: str, seed: int) -> Image.Image:
    """Its label's colour, in noise of its own."""
    noise = np.random.default_rng(seed).normal(0, 20, (SIZE, SIZE, 3))
    return Image.fromarray((np.asarray(COLOURS[label]) + noise).clip(0, 255).astype(np.uint8))


def tone(seed: int) -> Audio:
    random = np.random.default_rng(seed)
    at = np.arange(8_000) / 16_000
    hertz = random.uniform(200, 2_000)
    return Audio((0.3 * np.sin(2 * np.pi * hertz * at) + random.normal(0, 0.01, len(at))).astype(np.float32), 16_000)


def png(seed: int, label: str = "warm") -> bytes:
    return file_of(picture(label, seed))


def saved(seed: int, form: str) -> bytes:
    buffer = io.BytesIO()
    picture("warm", seed).save(buffer, format=form)
    return buffer.getvalue()


def wire(data: bytes) -> Mapping[str, str]:
    return {"base64": base64.b64encode(data).decode()}


def test_a_form_a_body_of_json_and_lines_of_it_store_the_same(http: httpx.Client, pictures: str) -> None:
    path = f"{pictures}/samples"
    files = [png(seed) for seed in range(4)]
    form = [
        ("file", ("cat.png", files[0])),
        ("label", (None, "a")),
        ("source", (None, "mail")),
        ("metadata", (None, '{"n": 1}')),
        ("file", ("cat.png", files[1])),
        ("file", ("", files[0])),
        ("label", (None, "a")),
    ]
    batch = good(http.post(path, files=form))
    assert [row["status"] for row in batch["data"]] == ["accepted", "accepted", "duplicate"]
    row = {"input": wire(files[2]), "label": "b"}
    assert good(http.post(path, json={"samples": [row, row]}))["duplicates"] == 1
    lines = json.dumps({"input": wire(files[3]), "label": "b"})
    assert good(http.post(path, content=lines, headers={"content-type": "application/x-ndjson"}))["accepted"] == 1
    kept = listed(http, path)
    assert [sample["input"] for sample in kept] == [{"sha256": hashlib.sha256(data).hexdigest()} for data in files]
    assert [sample["label"] for sample in kept] == ["a", None, "b", "b"]
    assert (kept[0]["source"], kept[0]["metadata"]) == ("mail", {"n": 1})
    assert [http.get(f"{path}/{sample['id']}/content").content for sample in kept] == files


def test_a_label_sent_beside_a_file_is_told_of_it(http: httpx.Client, pictures: str) -> None:
    path = f"{pictures}/samples"
    good(http.post(path, files={"file": png(0)}, data={"label": "ant"}))
    good(http.post(path, files=[("file", png(1)), ("file", png(2))], data={"label": ["bee", "ant"]}))
    assert [sample["label"] for sample in listed(http, path)] == ["ant", "bee", "ant"]


def test_curl_as_it_is_documented_stores_samples(tenant: Tenant, pictures: str, tmp_path: Path) -> None:
    for label in COLOURS:
        (tmp_path / f"{label}.png").write_bytes(png(0, label))
    form = [word for label in COLOURS for word in ("-F", f"file=@{label}.png", "-F", f"label={label}")]
    key = ["-H", f"Authorization: Bearer {tenant.key}"]
    done = subprocess.run(
        ["curl", "-sS", *key, *form, f"{tenant.url}{pictures}/samples"], cwd=tmp_path, capture_output=True, check=True
    )
    assert json.loads(done.stdout)["accepted"] == 2
    assert [sample["label"] for sample in listed(tenant.http, f"{pictures}/samples")] == list(COLOURS)


@pytest.mark.parametrize(
    ("form", "kind"), [("PNG", "image/png"), ("JPEG", "image/jpeg"), ("WEBP", "image/webp"), ("GIF", "image/gif")]
)
def test_a_picture_is_given_back_to_be_saved_not_shown(http: httpx.Client, pictures: str, form: str, kind: str) -> None:
    data = saved(0, form)
    sample = good(http.post(f"{pictures}/samples", files={"file": data}))["data"][0]["id"]
    given = http.get(f"{pictures}/samples/{sample}/content")
    assert (given.status_code, given.content, given.headers["content-type"]) == (200, data, kind)
    assert given.headers["content-disposition"] == f'attachment; filename="{sample}"'
    assert given.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(("form", "kind"), [("WAV", "audio/wav"), ("FLAC", "audio/flac"), ("OGG", "audio/ogg")])
def test_a_sound_is_given_back_with_its_type(http: httpx.Client, sounds: str, form: str, kind: str) -> None:
    buffer = io.BytesIO()
    soundfile.write(buffer, tone(0).samples, 16_000, format=form)
    sample = good(http.post(f"{sounds}/samples", files={"file": buffer.getvalue()}))["data"][0]["id"]
    given = http.get(f"{sounds}/samples/{sample}/content")
    assert (given.content, given.headers["content-type"]) == (buffer.getvalue(), kind)


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ("https://example.org/a.png", "url_forbidden"),
        (" HTTP://localhost/a.png", "url_forbidden"),
        ("file:///etc/passwd", "url_forbidden"),
        ({"url": "http://localhost/a.png"}, "url_forbidden"),
        ("a.png", "input_invalid"),
        ("iVBORw0KGgo=", "input_invalid"),
        ({"base64": "not base64"}, "input_invalid"),
        ({"base64": "iVBORw0KGgo=", "name": "a"}, "input_invalid"),
        ({"base64": ""}, "input_empty"),
        ({"base64": "iVBORw0KGgo="}, "image_undecodable"),
        (None, "input_missing"),
        (7, "input_invalid"),
    ],
)
def test_what_is_no_picture_is_told_by_its_code(http: httpx.Client, pictures: str, given: object, code: str) -> None:
    rows = [{"input": wire(png(0)), "label": "a"}, {"input": given, "label": "a"}]
    batch = good(http.post(f"{pictures}/samples", json={"samples": rows}))
    assert [row["status"] for row in batch["data"]] == ["accepted", "rejected"]
    issue = batch["data"][1]["issues"][0]
    assert (issue["code"], issue["pointer"]) == (code, "/samples/1/input")
    assert "localhost" not in json.dumps(issue) and issue["fix"]


def test_a_sound_is_no_picture_and_a_picture_no_sound(http: httpx.Client, pictures: str, sounds: str) -> None:
    sound = file_of(tone(0))
    for path, data, code in ((pictures, sound, "image_undecodable"), (sounds, png(0), "audio_undecodable")):
        batch = good(http.post(f"{path}/samples", files={"file": data}))
        assert (batch["rejected"], batch["data"][0]["issues"][0]["code"]) == (1, code)
    assert good(http.post(f"{sounds}/samples", files={"file": sound}))["accepted"] == 1


def test_a_refused_adaptation_of_files_leaves_nothing(tenant: Tenant) -> None:
    before = tenant.usage()
    rows = [{"input": wire(png(0)), "label": "a"}, {"input": "https://localhost/b.png", "label": "b"}]
    body = {"project": name(), "modality": "image", "samples": rows}
    refused(tenant.http.post("/adapt", json=body), 422, "too_few_labels")
    refused(tenant.http.post("/adapt", json={**body, "samples": rows[1:]}), 422, "url_forbidden")
    assert tenant.usage() == before


def test_deleted_files_and_other_tenants_are_not_found(tenant: Tenant, stranger: Tenant, pictures: str) -> None:
    sample = good(tenant.http.post(f"{pictures}/samples", files={"file": png(0)}))["data"][0]["id"]
    path = f"{pictures}/samples/{sample}"
    refused(stranger.http.get(f"{path}/content"), 404)
    assert "sha256" in good(tenant.http.delete(path))["input"]
    refused(tenant.http.get(f"{path}/content"), 404)


def test_the_quota_of_bytes_holds_files(server: Running) -> None:
    first, second = png(0), png(1)
    with new_tenant(server) as tenant:
        path = f"{fresh(tenant, 'image')}/samples"
        quota = {"bytes": len(first) + len(second) - 1}
        good(tenant.operator.put(f"/admin/v1/tenants/{tenant.id}/quota", json=quota))
        good(tenant.http.post(path, files={"file": first}))
        assert tenant.usage()["bytes"] == len(first)
        refused(tenant.http.post(path, files={"file": second}), 413, "quota_exceeded")
        refused(tenant.http.post("/adapt", json=adapting(second, first)), 413, "quota_exceeded")
        assert (tenant.usage()["bytes"], len(listed(tenant.http, path))) == (len(first), 1)


def adapting(*files: bytes) -> Object:
    """A request to adapt to each of the files under two labels."""
    rows = [{"input": wire(data), "label": label} for data in files for label in "ab"]
    return {"project": name(), "modality": "image", "samples": rows}


# What follows needs the networks.


@pytest.fixture(scope="module")
def client(server: Running, tenant: Tenant) -> Iterator[Client]:
    with Client(server.url, tenant.key, timeout_s=120) as client:
        yield client


@pytest.fixture(scope="module")
def adapted(client: Client) -> Adapted:
    """A project of pictures with one version, which no test changes."""
    samples = [(picture(label, seed), label) for label in COLOURS for seed in range(8)]
    return client.adapt(name(), samples, wait_seconds=60)


def ask(http: httpx.Client, adapted: Adapted, content: bytes, kind: str) -> httpx.Response:
    path = f"/v1/projects/{adapted.project.id}/predict"
    return http.post(path, content=content, params={"version": 1}, headers={"content-type": kind})


def test_pictures_are_adapted_to_and_answered(client: Client, adapted: Adapted, tmp_path: Path) -> None:
    assert (adapted.project.modality, adapted.samples.accepted) == ("image", 16)
    assert (adapted.adaptation.status, adapted.adaptation.version) == ("succeeded", 1)
    path = tmp_path / "cold.png"
    path.write_bytes(png(100, "cold"))
    given = [picture("warm", 100), path, png(101, "warm"), b"no picture", picture("cold", 101)]
    answers = client.predict(adapted.project, given, version=1)
    assert answers.labels == ["warm", "cold", "warm", None, "cold"]
    assert answers[3].problem is not None and answers[3].problem.code == "image_undecodable"
    assert client.predict(adapted.project, path, version=1).labels == ["cold"]
    assert "Equal files never stand on both sides" in client.versions.card(adapted.project, 1)


def test_every_way_to_send_a_picture_is_answered_alike(http: httpx.Client, adapted: Adapted) -> None:
    files = [png(seed, label) for label in COLOURS for seed in (200, 201)]
    path = f"/v1/projects/{adapted.project.id}/predict"
    as_json: Object = {"inputs": [wire(data) for data in files], "top_k": 2}
    expected = good(http.post(path, json=as_json, params={"version": 1}))["data"]
    form = [("file", data) for data in files]
    assert scores(good(http.post(path, files=form, data={"top_k": "2"}, params={"version": 1}))["data"]) == (
        pytest.approx(scores(expected), abs=1e-5)
    )
    for kind in ("image/png", "application/octet-stream"):
        rows = [good(ask(http, adapted, data, kind))["data"][0] for data in files]
        assert [row["label"] for row in rows] == [row["label"] for row in expected]


def scores(rows: list[Object]) -> list[float]:
    return [score["score"] for row in rows for score in row["scores"]]


def test_what_is_no_picture_is_no_crash(http: httpx.Client, adapted: Adapted) -> None:
    text = refused(ask(http, adapted, b"refund my money", "text/plain"), 422, "input_invalid")
    assert "the project reads pictures: expected a file, got a string" in text["detail"] and "base64" in text["fix"]
    refused(ask(http, adapted, b"https://localhost/a.png", "text/plain"), 422, "url_forbidden")
    sound = refused(ask(http, adapted, file_of(tone(0)), "audio/wav"), 422, "image_undecodable")
    assert "the project reads pictures" in sound["detail"] and "JPEG" in sound["fix"]
    refused(ask(http, adapted, b"", "image/png"), 422, "input_empty")
    good(ask(http, adapted, png(0), "image/png"))


def test_what_is_too_large_for_a_request_goes_in_several(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = [(picture(label, seed), label) for label in COLOURS for seed in range(4)]
    monkeypatch.setattr(client_inputs, "MAX_BYTES", 3 * len(json.dumps(wire(png(0)))))
    adapted = client.adapt(name(), iter(samples), wait_seconds=60)
    assert (adapted.samples.accepted, [row["index"] for row in adapted.samples.rows]) == (8, list(range(8)))
    assert adapted.adaptation.status == "succeeded"
    again = client.adapt(adapted.project.name, samples, wait_seconds=60)  # the project is there already
    assert (again.samples.duplicates, again.adaptation.status) == (8, "succeeded")
    answers = client.predict(adapted.project, [given for given, _ in samples])
    assert len(answers.raw) > 1 and [row.index for row in answers] == list(range(8))
    with pytest.raises(TsugikiProblem, match="image_undecodable"):
        client.adapt(name(), [(b"no picture", "a")], modality="image")


def test_sounds_are_adapted_to_and_answered(client: Client) -> None:
    samples = [(tone(seed), "low" if seed % 2 else "high") for seed in range(8)]
    adapted = client.adapt(name(), samples, wait_seconds=60)
    assert (adapted.project.modality, adapted.adaptation.status) == ("audio", "succeeded")
    assert set(client.predict(adapted.project, [given for given, _ in samples], version=1).labels) <= {"low", "high"}
    kept = next(client.samples.list(adapted.project))["id"]
    assert client.samples.content(adapted.project, kept) == file_of(samples[0][0])


@pytest.mark.parametrize("kind", ["image", "audio"])
def test_an_export_reads_files_as_the_service_does(tenant: Tenant, tmp_path: Path, kind: str) -> None:
    """By the zip's own program, in a process that has nothing of ours."""
    if kind == "image":
        samples = [(file_of(picture(label, seed)), label) for label in COLOURS for seed in range(4)]
    else:
        samples = [(file_of(tone(seed)), "low" if seed % 2 else "high") for seed in range(8)]
    project = name()
    with Client(tenant.url, tenant.key) as client:
        client.projects.create(project, modality="image" if kind == "image" else "audio")
        client.samples.add(project, samples)
        adaptation = client.adaptations.wait(client.adaptations.start(project, method="head"))
        assert adaptation.version is not None, adaptation.problem
        export = client.exports.wait(client.exports.create(project, adaptation.version))
        client.exports.download(export, tmp_path / "export.zip")
        served = client.predict(project, [data for data, _ in samples[:3]])
    with zipfile.ZipFile(tmp_path / "export.zip") as archive:
        archive.extractall(tmp_path / "export")
    for number, (data, _) in enumerate(samples[:3]):
        (tmp_path / f"{number}.bin").write_bytes(data)
    (tmp_path / "3.bin").write_bytes(b"no such file as it says")
    command = [sys.executable, str(tmp_path / "export" / "predict.py"), *(f"{number}.bin" for number in range(4))]
    done = subprocess.run(command, cwd=tmp_path, env={}, capture_output=True, text=True, check=False)
    *answers, refusal = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 1 and refusal["error"]["code"] == f"{kind}_undecodable", done.stderr
    assert [answer["label"] for answer in answers] == [answer.label for answer in served]
    scores = [answer["score"] for answer in answers]
    np.testing.assert_allclose(
        scores, [answer.score or 0.0 for answer in served], atol=0.05
    )  # bf16 in the service perhaps
