"""The one table from core errors to HTTP."""

from __future__ import annotations

import inspect

import pytest

from service.errors import STATUS, TITLES, job_problem, problem, status_of
from tsugiki import errors

KINDS = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, errors.TsugikiError) and kind is not errors.TsugikiError
]


@pytest.mark.parametrize("kind", KINDS)
def test_every_core_error_has_a_status_a_title_and_a_place_in_the_drawn_tree(kind: type[errors.TsugikiError]) -> None:
    status = status_of(kind("said"))
    assert status in TITLES and status != 500
    assert kind.__name__ in (errors.__doc__ or "")


def test_what_the_table_does_not_name_is_a_bug() -> None:
    assert status_of(errors.TsugikiError("said")) == 500


@pytest.mark.parametrize("kind", list(STATUS))
def test_a_job_ends_by_the_problem_that_a_request_would_get(kind: type[errors.TsugikiError]) -> None:
    error = kind("said", fix="do this", code="its_own")
    told = problem(error)
    assert job_problem(error.as_data()) == told
    assert (told["code"], told["detail"], told["fix"]) == ("its_own", "said", "do this")
