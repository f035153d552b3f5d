"""I5: another tenant's objects are unknown, on every route, under every id; and the check that says so is checked."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from fastapi import APIRouter

from service.core import Core
from tests.service.asking import SAMPLES, Tenant, good
from tests.service.in_process import in_process
from tests.service.isolation import BODIES, NAMED_IN_BODY, Answer, Ask, Owned, fill, leaks, object_routes
from tsugiki.backbones import Loaded
from tsugiki.domain import Project, Version
from tsugiki.runtime.directory import Directory
from tsugiki.runtime.predictor import Predictor
from tsugiki.storage.database import Database
from tsugiki.storage.projects import Projects
from tsugiki.storage.registry import Registry
from tsugiki.storage.tables import ProjectRow


def owner_of(database: Database, tenant_id: str, ref: str) -> str:
    """Whoever owns it, whoever asks."""
    with database.read() as session:
        row = session.get(ProjectRow, ref)
    return tenant_id if row is None else row.tenant_id


class Forgetful(Projects):
    """A store that forgets to ask whose project it is: what the check must catch."""

    def get(self, tenant_id: str, ref: str) -> Project:
        return super().get(owner_of(self._database, tenant_id, ref), ref)


class ForgetfulRegistry(Registry):
    def resolve(self, tenant_id: str, ref: str, alias: str, number: int | None) -> tuple[Project, Version | None]:
        return super().resolve(owner_of(self._database, tenant_id, ref), ref, alias, number)


@pytest.fixture(scope="module")
def mine(tenant: Tenant) -> Owned:
    return everything(over(tenant), tenant)


@pytest.fixture(scope="module")
def theirs(stranger: Tenant) -> Owned:
    return everything(over(stranger), stranger)


def test_another_tenants_objects_are_unknown_on_every_route(tenant: Tenant, mine: Owned, theirs: Owned) -> None:
    assert leaks(over(tenant), mine, theirs) == []


def test_the_operators_own_keys_open_no_other_tenants_projects(tenant: Tenant, mine: Owned) -> None:
    def ask(method: str, path: str, body: object) -> Answer:
        reply = tenant.operator.request(method, path, json=body)
        return Answer(reply.status_code, reply.text)

    for method, path in object_routes():
        if "{p}" in path or "{a}" in path or "{e}" in path:
            assert ask(method, fill(path, mine.ids), BODIES.get((method, path))).status == 404, path
    keys = f"/admin/v1/tenants/{good(tenant.operator.get('/v1/me'))['tenant']['id']}/keys"
    assert ask("DELETE", f"{keys}/{mine.ids['k']}", None).status == 404


def test_the_owner_is_not_refused_where_the_stranger_was(stranger: Tenant, theirs: Owned) -> None:
    ask = over(stranger)
    routes = [route for route in object_routes() if not route[1].startswith("/admin/")]
    for method, path in sorted(routes, key=lambda route: route[0] == "DELETE"):
        if (method, path) == ("DELETE", "/v1/projects/{p}"):
            continue
        status = ask(method, fill(path, theirs.ids), BODIES.get((method, path))).status
        assert status < 400 or (status == 409 and path.endswith("/rollback")), (method, path, status)
    for path in NAMED_IN_BODY:
        body = {"project": theirs.ids["p"]}
        body |= {"/adapt": {"samples": SAMPLES}, "/predict": {"inputs": ["pay"]}}.get(path, {})
        assert ask("POST", path, body).status == 200
    assert ask("DELETE", f"/v1/projects/{theirs.ids['p']}", None).status == 202


def test_a_store_that_forgets_the_tenant_is_caught(tiny: Loaded, make_home: Callable[[], Path]) -> None:
    def forgetful(core: Core) -> Core:
        projects = Forgetful(core.database, core.blobs)
        directory = Directory(ForgetfulRegistry(core.database, core.blobs))
        predictor = Predictor(directory, core.residency, core.backbones)
        return replace(core, projects=projects, directory=directory, predictor=predictor)

    with in_process(make_home(), {"tiny": tiny.source.folder}, forgetful) as broken:
        asks: list[Ask] = []
        owned: list[Owned] = []
        for _ in range(2):
            tenant = broken.core.tenants.create(f"t{uuid.uuid4().hex[:8]}")
            issued = broken.core.tenants.issue_key(tenant.id, "k", ["admin"])

            def ask(method: str, path: str, body: object, secret: str = issued.secret) -> Answer:
                reply = broken.http.request(method, path, json=body, headers={"authorization": f"Bearer {secret}"})
                return Answer(reply.status_code, reply.text)

            asks.append(ask)
            owned.append(_objects(ask, tenant.id, issued.key.id))
        found = leaks(asks[0], owned[0], owned[1])
    caught = {line.split("proj_")[0] + line.split("/")[-1].split(" ")[0] for line in found if "answers 200" in line}
    assert caught >= {"POST /v1/projects/predict", "GET /v1/projects/samples", "GET /v1/projects/versions"}
    assert any("says" in line for line in found)


@pytest.mark.parametrize(("method", "path"), [("GET", "/v1/things/{thing}"), ("PUT", "/v1/projects/{p}/things")])
def test_a_new_route_without_a_rule_is_noticed(method: str, path: str) -> None:
    router = APIRouter()
    router.add_api_route(path, lambda: None, methods=[method])
    with pytest.raises(LookupError, match="add one"):
        object_routes([router])


def over(tenant: Tenant) -> Ask:
    def ask(method: str, path: str, body: object) -> Answer:
        reply = tenant.http.request(method, path, json=body)
        return Answer(reply.status_code, reply.text)

    return ask


def everything(ask: Ask, tenant: Tenant) -> Owned:
    return _objects(ask, tenant.id, good(tenant.http.get("/v1/me"))["key"]["id"])


def _objects(ask: Ask, tenant_id: str, key_id: str) -> Owned:
    """One object of every kind, made by asking for it."""
    name = f"garden_{uuid.uuid4().hex[:8]}"
    made = json.loads(ask("POST", "/adapt", {"project": name, "samples": SAMPLES, "wait_seconds": 60}).text)
    project = made["project"]["id"]
    wish = {"precision": "fp32", "wait_seconds": 60}
    export = json.loads(ask("POST", f"/v1/projects/{project}/versions/1/exports", wish).text)
    ids = {
        "p": project,
        "s": made["samples"]["data"][0]["id"],
        "a": made["adaptation"]["id"],
        "v": "1",
        "name": "live",
        "e": export["id"],
        "t": tenant_id,
        "k": key_id,
    }
    return Owned(ids, name)
