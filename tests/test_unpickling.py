"""The hook of tests/conftest.py that no path of ours may unpickle under."""

from __future__ import annotations

import pickle
from fractions import Fraction

import pytest

from tests.unpickling import ROOT


def test_unpickling_on_behalf_of_our_code_is_found_out() -> None:
    data = pickle.dumps(Fraction(1, 3))
    assert pickle.loads(data) == Fraction(1, 3)  # a test may
    ours = compile("load(data)", str(ROOT / "src" / "tsugiki" / "careless.py"), "exec")
    with pytest.raises(RuntimeError, match="careless"):
        exec(ours, {"load": pickle.loads, "data": data})
