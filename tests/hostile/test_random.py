"""Random JSON at every route that changes something: never a failure of the service, always its own words."""

from __future__ import annotations

import json
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.service.asking import PROBLEM_MEMBERS, Tenant, good
from tests.service.isolation import BODIES, NAMED_IN_BODY, fill

EXAMPLES = 25  # a route; some seconds in all
USUAL = {"p": "support", "s": "smp_0", "a": "adp_0", "v": "1", "name": "canary", "t": "ten_0"}
# What each route understands, so that a part of it can be replaced by anything.
WISHES: dict[tuple[str, str], object] = {
    **{route: body for route, body in BODIES.items() if body is not None},
    **{("POST", path): json.loads(json.dumps(body).replace("#", "support")) for path, body in NAMED_IN_BODY.items()},
    ("POST", "/v1/projects"): {
        "name": "x",
        "labels": [{"name": "a"}],
        "policy": {"abstain": {"target_precision": 0.9}},
    },
    ("POST", "/admin/v1/tenants"): {"name": "default"},
    ("POST", "/bento/predict"): {"project": "support", "inputs": ["pay"], "top_k": 1},
    ("POST", "/bento/adapt"): {"project": "support", "samples": [{"input": "pay", "label": "a"}]},
}

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None), max_size=20)
keys = st.sampled_from(["name", "input", "label", "samples", "project", "version", "\ud800", ""]) | st.text(max_size=5)
anything = st.recursive(scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4))


@st.composite
def disturbed(draw: st.DrawFn, wish: object) -> object:
    """The wish with one part replaced by anything, or with something more in it."""
    if not isinstance(wish, dict) or draw(st.integers(0, 3)) == 0:
        return draw(anything)
    known = cast(dict[str, object], wish)
    place = draw(st.sampled_from(sorted(known) or ["name"]))
    changed = {**known, place: draw(_part(known.get(place)))}
    return changed | {draw(keys): draw(scalars)} if draw(st.booleans()) else changed


def _part(wish: object) -> st.SearchStrategy[object]:
    """A list keeps its form: what stands in it is disturbed."""
    if isinstance(wish, list):
        first = next(iter(cast(list[object], wish)), None)
        return st.lists(disturbed(first), max_size=3)
    return disturbed(wish)


@pytest.mark.parametrize(("method", "path"), WISHES, ids=[" ".join(route) for route in WISHES])
def test_no_json_makes_the_service_fail(tenant: Tenant, method: str, path: str) -> None:
    http = tenant.operator if path.startswith("/admin/") else tenant.http

    # The same examples in every run: a test that fails now and then is believed by nobody.
    @settings(max_examples=EXAMPLES, deadline=None, derandomize=True, database=None)
    @given(disturbed(WISHES[method, path]))
    def throw(body: object) -> None:
        content = json.dumps(body).encode()
        reply = http.request(method, fill(path, USUAL), content=content, headers={"content-type": "application/json"})
        assert reply.status_code < 500, (content, reply.text)
        assert reply.status_code < 300 or reply.json().keys() >= PROBLEM_MEMBERS, (content, reply.text)

    throw()
    good(tenant.http.post("/predict", json={"project": "support", "inputs": ["pay"]}))
