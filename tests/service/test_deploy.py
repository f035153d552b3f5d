"""Manifests and the compose file say what their readers understand, and nothing that the service does not."""
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# The schema packages and yaml have no types.

from __future__ import annotations

import re
from copy import deepcopy
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml
from check_jsonschema.builtin_schemas import get_builtin_schema

from service.routes.operations import router
from service.settings import Settings

DEPLOY = Path(__file__).parents[2] / "service" / "deploy"
RELEASES = ("1.30", kubernetes_validate.latest_version())  # the oldest whose drain and probes are as used here
OBJECTS = [
    pytest.param(one, id=f"{path.name}-{one['kind']}-{one['metadata']['name']}")
    for path in sorted((DEPLOY / "kubernetes").glob("*.yaml"))
    for one in yaml.safe_load_all(path.read_text())
]
Json = dict[str, Any]  # any manifest


@pytest.fixture(scope="module")
def compose() -> Json:
    return yaml.safe_load((DEPLOY / "compose.yaml").read_text())


@pytest.mark.parametrize("manifest", OBJECTS)
def test_a_cluster_takes_the_manifest(manifest: Json) -> None:
    for release in RELEASES:
        kubernetes_validate.validate(manifest, release, strict=True)


def test_a_misspelt_manifest_would_be_seen() -> None:
    (manifest,) = [deepcopy(one) for one in manifests("Deployment")]
    manifest["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(manifest, RELEASES[0], strict=True)


def test_compose_takes_the_file_and_would_not_a_misspelt_one(compose: Json) -> None:
    schema = get_builtin_schema("vendor.compose-spec")
    jsonschema.validate(compose, schema)
    compose = deepcopy(compose)
    compose["services"]["serve"]["stop_graceperiod"] = "45s"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(compose, schema)


def test_every_setting_named_is_one() -> None:
    known = {f"TSUGIKI_{name.upper()}" for name in Settings.model_fields}
    files = [path for path in DEPLOY.rglob("*") if path.is_file()]
    named = {(path.name, name) for path in files for name in re.findall(r"TSUGIKI_[A-Z_]+", path.read_text())}
    assert len(named) > 10
    assert {(file, name) for file, name in named if name not in known} == set()


def test_probes_ask_what_is_served_and_there_is_time_to_drain(compose: Json) -> None:
    image = (DEPLOY / "Containerfile").read_text()
    takes_s = sum(float(found) for found in re.findall(r"TSUGIKI_(?:NOTICE|DRAIN)_SECONDS=(\d+)", image))
    paths = {getattr(route, "path", None) for route in router.routes}
    (serving,) = manifests("Deployment")
    spec = serving["spec"]["template"]["spec"]
    probes = [spec["containers"][0][f"{kind}Probe"] for kind in ("startup", "readiness", "liveness")]
    assert {probe["httpGet"]["path"] for probe in probes} <= paths
    assert probes[1]["periodSeconds"] < float(re.findall(r"NOTICE_SECONDS=(\d+)", image)[0])
    graces_s = [spec["terminationGracePeriodSeconds"], int(compose["services"]["serve"]["stop_grace_period"][:-1])]
    assert min(graces_s) > takes_s > 0


def test_nobody_is_root_and_nothing_but_the_home_is_written(compose: Json) -> None:
    for made in [*manifests("Deployment"), *manifests("StatefulSet"), *manifests("Job")]:
        spec = made["spec"]["template"]["spec"]
        assert spec["securityContext"]["runAsNonRoot"] and not spec["automountServiceAccountToken"]
        for container in spec["containers"]:
            assert container["securityContext"]["readOnlyRootFilesystem"]
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
            assert [mount["mountPath"] for mount in container["volumeMounts"]] == ["/var/lib/tsugiki"]
    assert all(compose["services"][name]["read_only"] for name in ("serve", "trainer", "migrate"))


def manifests(kind: str) -> list[Json]:
    found = [one.values[0] for one in OBJECTS]
    return [one for one in found if isinstance(one, dict) and one["kind"] == kind]
