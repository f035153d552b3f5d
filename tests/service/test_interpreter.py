from __future__ import annotations

import gc
import sys

import pytest

from service.interpreter import TURN_S, giving_way


def test_what_is_made_while_giving_way_is_not_looked_through_again() -> None:
    before, turn_s = gc.get_freeze_count(), sys.getswitchinterval()
    with giving_way():
        made = [[number] for number in range(10_000)]
        assert not gc.isenabled()
        assert sys.getswitchinterval() == pytest.approx(TURN_S)
    try:
        assert gc.get_freeze_count() >= before + len(made)
    finally:
        gc.unfreeze()
    assert gc.isenabled()
    assert sys.getswitchinterval() == turn_s


def test_python_searches_for_garbage_and_takes_turns_as_before_where_giving_way_failed() -> None:
    turn_s = sys.getswitchinterval()
    with pytest.raises(ImportError), giving_way():
        raise ImportError
    gc.unfreeze()
    assert gc.isenabled()
    assert sys.getswitchinterval() == turn_s
