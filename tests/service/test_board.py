"""One page of metrics for all workers: each series says whose it is, and what is known is never told older again."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from service.board import TRAINER, Board, Page, merged
from tsugiki.monitoring import Metrics
from tsugiki.observed import JobEnd
from tsugiki.storage.presence import Presence, one_at_a_time


class Worker:
    def __init__(self, folder: Path) -> None:
        self.presence = Presence(folder)
        self.metrics = Metrics({"waiting_rows": ("rows queued", lambda: 3.0)})
        self.board = Board(folder, self.presence, self.metrics.exposition)

    def close(self) -> None:
        self.board.close()
        self.presence.close()


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[list[Worker]]:
    made = [Worker(tmp_path) for _ in range(2)]
    yield made
    for each in made:
        each.close()


def rows(page: bytes) -> dict[str, float]:
    """Rows answered with a label, by worker."""
    return {
        sample.labels["worker"]: sample.value
        for family in text_string_to_metric_families(page.decode())
        for sample in family.samples
        if sample.name == "tsugiki_prediction_rows_total"
    }


def test_heads_come_once_and_samples_say_whose_they_are() -> None:
    first = "# HELP x an x\n# TYPE x counter\nx 1.0\n"
    second = '# HELP x an x\n# TYPE x counter\nx 2.0\n# HELP y a y\n# TYPE y gauge\ny{a="b {c} d"} 3.0\n'
    assert merged([("1", first), ("2", second)]).splitlines() == [
        *("# HELP x an x", "# TYPE x counter", 'x{worker="1"} 1.0', 'x{worker="2"} 2.0'),
        *("# HELP y a y", "# TYPE y gauge", 'y{worker="2",a="b {c} d"} 3.0'),
    ]


def test_whoever_is_asked_tells_of_all(pair: list[Worker]) -> None:
    for count, worker in enumerate(pair, start=1):
        worker.metrics.rows("label", count)
        worker.board.exposition()
    pages = [worker.board.exposition() for worker in pair]
    assert [rows(page) for page in pages] == [{"1": 1.0, "2": 2.0}] * 2
    names = [family.name for family in text_string_to_metric_families(pages[0].decode())]
    assert len(names) == len(set(names)) and "tsugiki_waiting_rows" in names


def test_a_worker_that_is_gone_is_told_of_no_more(pair: list[Worker], tmp_path: Path) -> None:
    third = Worker(tmp_path)
    third.metrics.rows("label", 3)
    assert rows(third.board.exposition()) == {"3": 3.0}
    left = (tmp_path / "3.prom").read_bytes()
    third.close()
    (tmp_path / "3.prom").write_bytes(left)  # as one that is killed leaves it
    assert rows(pair[0].board.exposition()) == {}


def test_the_trainer_is_told_of_while_it_runs_also_by_a_worker_alone(tmp_path: Path) -> None:
    presence, metrics, trained = Presence(tmp_path), Metrics({}), Metrics({})
    alone = Board(tmp_path, presence, metrics.exposition, several=False)
    trained.adaptation(JobEnd("succeeded", "lora", 70.0, promoted=True))
    page = Page(tmp_path, TRAINER, trained.exposition)
    told = 'tsugiki_gate_total{worker="trainer",decision="promoted"} 1.0'
    with one_at_a_time(tmp_path / TRAINER):
        assert told in alone.exposition().decode() and not (tmp_path / "1.prom").exists()
    assert told not in alone.exposition().decode()
    page.close()
    alone.close()
    presence.close()


def test_on_a_full_disk_the_page_stays_as_it_was_and_heals(
    pair: list[Worker], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    worker, other = pair
    worker.metrics.rows("label", 1)
    worker.board.exposition()
    (tmp_path / "1.part").mkdir()  # nothing can be written there
    worker.metrics.rows("label", 1)
    with caplog.at_level(logging.WARNING):
        pages = [asked.board.exposition() for asked in (worker, other, worker)]
    assert [rows(page) for page in pages] == [{"1": 1.0}] * 3
    assert caplog.text.count("cannot be left") == 1
    (tmp_path / "1.part").rmdir()
    assert rows(worker.board.exposition()) == {"1": 2.0} == rows(other.board.exposition())
