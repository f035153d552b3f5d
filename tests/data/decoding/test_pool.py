from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import repeat
from pathlib import Path
from typing import ClassVar, TypeVar

import numpy as np
import pytest

from tests.data.decoding import pictures
from tests.data.decoding.pictures import photo, saved
from tests.data.decoding.test_sounds import tone, written
from tsugiki.data.decoding import frames
from tsugiki.data.decoding.frames import Frame, Header
from tsugiki.data.decoding.images import View, read_image
from tsugiki.data.decoding.pool import MEMORY_BYTES, PART_BYTES, PART_FILES, DecoderPool
from tsugiki.data.decoding.process import answers_in
from tsugiki.data.decoding.sounds import read_sound
from tsugiki.errors import Invalid, Unavailable

VIEW = View(96, 0.875, "bicubic")
LONG = View(4096, 1.0, "bicubic")  # of a large picture, some seconds
GOOD = saved(photo(), "JPEG")
LARGE = pictures.blank(7_000, 7_000)  # the most pixels there may be, in some kilobytes
TOO_LARGE = pictures.blank(8_000, 8_000)
PATIENCE_S = 60.0

RATE, MINUTES = 16_000, 30
AUDIO = "audio_undecodable"
SOUNDS = [written(tone(seconds=0.1 + 0.01 * number)) for number in range(PART_FILES)]
LONG_SOUND = written(tone(1_000, MINUTES * 60), 1_000, "FLAC")
NARROW = 256 << 20  # of memory: enough for short sounds
T = TypeVar("T")
R = TypeVar("R")


@pytest.fixture(scope="module")
def pool() -> Iterator[DecoderPool]:
    with closing(DecoderPool(2)) as pool:
        yield pool


def refused(pool: DecoderPool, data: bytes) -> Invalid:
    with pytest.raises(Invalid) as caught:
        pool.image(data, VIEW)
    return caught.value


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def is_gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


class TestImage:
    def test_is_what_the_reader_gives(self, pool: DecoderPool) -> None:
        found = pool.image(GOOD, VIEW)
        assert found.dtype == np.uint8
        assert (found == read_image(GOOD, VIEW)).all()
        found[:] = 0  # ours alone, and writable

    def test_refused_by_the_reader_is_invalid(self, pool: DecoderPool) -> None:
        error = refused(pool, b"%PDF-1.7")
        assert error.reason == "image_undecodable"
        (issue,) = error.issues
        assert (issue.code, issue.pointer) == ("image_undecodable", "")
        assert (issue.detail, issue.fix) == (error.detail, error.fix)
        assert refused(pool, TOO_LARGE).reason == "image_too_large"
        assert refused(pool, saved(photo(4, 4), "PNG")).reason == "image_too_small"
        assert refused(pool, b"").reason == "input_empty"

    def test_refused_costs_no_process(self, pool: DecoderPool) -> None:
        pool.image(GOOD, VIEW)
        before = pool.pids()
        for data in (b"", b"junk", GOOD[:-200], TOO_LARGE):
            refused(pool, data)
        assert pool.pids() == before

    def test_of_the_most_bytes_passes_both_ways(self, pool: DecoderPool) -> None:
        found = pool.image(GOOD + bytes((16 << 20) - len(GOOD)), LONG)
        assert (found == read_image(GOOD, LONG)).all()


class TestCrash:
    def test_of_an_idle_process_costs_nothing(self) -> None:
        with closing(DecoderPool(1)) as pool:
            expected = pool.image(GOOD, VIEW)
            for _ in range(3):
                (pid,) = pool.pids()
                os.kill(pid, signal.SIGKILL)
                assert (pool.image(GOOD, VIEW) == expected).all()
                assert pool.pids() != [pid]

    def test_before_the_row_was_read_costs_nothing(self) -> None:
        sending = threading.Event()

        class Watched(bytes):
            def __len__(self) -> int:
                sending.set()  # asked for by who has found the process living, and is about to send
                return super().__len__()

        with closing(DecoderPool(1)) as pool, ThreadPoolExecutor(1) as threads:
            expected = pool.image(GOOD, VIEW)
            (pid,) = pool.pids()
            os.kill(pid, signal.SIGSTOP)
            asked = threads.submit(pool.image, Watched(GOOD), VIEW)
            assert sending.wait(PATIENCE_S)
            os.kill(pid, signal.SIGKILL)
            assert (asked.result(PATIENCE_S) == expected).all()
            assert pid not in pool.pids()

    def test_while_it_decodes_costs_that_row_only(self) -> None:
        with closing(DecoderPool(1)) as pool, ThreadPoolExecutor(1) as threads:
            pool.image(GOOD, VIEW)
            (pid,) = pool.pids()
            before = resident_bytes(pid)
            asked = threads.submit(pool.image, LARGE, LONG)
            wait_for(lambda: resident_bytes(pid) > before + (16 << 20))
            os.kill(pid, signal.SIGKILL)
            with pytest.raises(Invalid, match="crashed") as caught:
                asked.result(PATIENCE_S)
            assert caught.value.reason == "image_undecodable"
            assert caught.value.issues
            assert pool.image(GOOD, VIEW).shape == (96, 96, 3)
            assert pid not in pool.pids()

    def test_by_lack_of_memory_costs_that_row_only(self) -> None:
        with closing(DecoderPool(1, memory_bytes=256 << 20)) as pool:
            assert refused(pool, TOO_LARGE).reason == "image_too_large", "the size limit needs no memory"
            pids = pool.pids()
            error = refused(pool, LARGE)
            assert (error.reason, "memory" in error.detail) == ("image_undecodable", True)
            assert pool.image(GOOD, VIEW).shape == (96, 96, 3)
            assert pool.pids() != pids
        with closing(DecoderPool(1)) as pool:
            assert pool.image(LARGE, VIEW).shape == (96, 96, 3), "there is memory where the limit is the usual one"

    @pytest.mark.parametrize("program", ["/bin/false", "/does/not/exist"])
    def test_at_every_start_is_told_apart_from_bad_files(self, program: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "executable", program)
        with closing(DecoderPool(1)) as pool:
            for _ in range(2):  # the first one leaves nothing borrowed
                with pytest.raises(Unavailable) as caught:
                    pool.image(GOOD, VIEW)
                assert caught.value.reason == "decoding_unavailable"
            assert pool.pids() == []


class TestSounds:
    def test_are_what_the_reader_gives_each_in_its_place(self, pool: DecoderPool) -> None:
        files = [SOUNDS[0], b"junk", *SOUNDS[1:], b"", LONG_SOUND, SOUNDS[0]]
        found = pool.sounds(files, RATE, 2 * MINUTES * 60)
        assert len(found) == len(files) and pool.sounds([], RATE, 1.0) == []
        for sound, data in zip(found, files, strict=True):
            if isinstance(sound, Invalid):
                assert (sound.reason, data) in {("audio_undecodable", b"junk"), ("input_empty", b"")}
            else:
                assert (sound == read_sound(data, RATE, 2 * MINUTES * 60)).all()
                assert (sound == pool.sound(data, RATE, 2 * MINUTES * 60)).all()
        assert sum(isinstance(sound, Invalid) for sound in found) == 2

    @pytest.mark.parametrize("size", [0, 3 * PART_BYTES])
    def test_go_to_a_process_together_where_they_are_small(self, size: int) -> None:
        files = [data + bytes(size) for data in SOUNDS[:PART_FILES]]
        asked = 0

        class Watched(DecoderPool):
            def map(self, read: Callable[[T], R], items: Sequence[T]) -> list[R]:
                nonlocal asked
                asked = len(items)
                return super().map(read, items)

        with closing(Watched(2)) as pool:
            assert len(pool.sounds(files, RATE, 1.0)) == PART_FILES
        assert asked == (PART_FILES if size else 2)

    @pytest.mark.parametrize("place", [0, 3, 7])
    def test_that_end_their_process_cost_no_other(self, place: int) -> None:
        files = SOUNDS[:7]
        files.insert(place, LONG_SOUND)
        with closing(DecoderPool(1, memory_bytes=NARROW)) as pool:
            found = pool.sounds(files, RATE, 2 * MINUTES * 60)
            assert [isinstance(sound, Invalid) for sound in found] == [file == LONG_SOUND for file in files]
            crashed = found.pop(place)
            assert isinstance(crashed, Invalid) and (crashed.reason, "memory" in crashed.detail) == (AUDIO, True)
            for sound, data in zip(found, SOUNDS, strict=False):
                assert not isinstance(sound, Invalid) and (sound == read_sound(data, RATE, 1.0)).all()
        with closing(DecoderPool(1)) as pool:
            (sound,) = pool.sounds([LONG_SOUND], RATE, 2 * MINUTES * 60)
            assert not isinstance(sound, Invalid), "there is memory where the limit is the usual one"

    def test_that_are_late_together_are_read_by_themselves(self) -> None:
        with closing(DecoderPool(1, seconds=2.0)) as pool:
            pool.sounds(SOUNDS, RATE, 1.0)
            (pid,) = pool.pids()
            os.kill(pid, signal.SIGSTOP)
            assert not any(isinstance(sound, Invalid) for sound in pool.sounds(SOUNDS[:4], RATE, 1.0))
            assert is_gone(pid)


class TestTime:
    def test_that_is_over_costs_that_row_only(self) -> None:
        with closing(DecoderPool(1, seconds=0.2)) as pool:
            pids = _warm(pool)
            with pytest.raises(Invalid, match=r"not done after 0\.2 s") as caught:
                pool.image(LARGE, LONG)
            assert caught.value.reason == "image_undecodable"
            assert _warm(pool) != pids
            assert all(is_gone(pid) for pid in pids)

    def test_of_a_process_that_hangs_is_over_too(self) -> None:
        with closing(DecoderPool(1, seconds=0.2)) as pool:
            (pid,) = _warm(pool)
            os.kill(pid, signal.SIGSTOP)
            assert "not done" in refused(pool, GOOD).detail
            assert is_gone(pid)


def _warm(pool: DecoderPool) -> list[int]:
    """The processes after a row that is sure to be in time; on a busy machine another may be needed."""
    for _ in range(20):
        try:
            pool.image(GOOD, VIEW)
        except Invalid:
            continue
        return pool.pids()
    raise AssertionError("no small picture is read in the time that is given")


class TestAge:
    def test_ends_a_process_that_has_read_its_rows(self) -> None:
        data = saved(photo(), "PNG")
        with closing(DecoderPool(1, most_rows=2)) as pool:
            pids: list[int] = []
            for _ in range(4):
                assert pool.image(data, VIEW).shape == (VIEW.size, VIEW.size, 3)
                pids += pool.pids()
            assert len(pids) == 2, "each second row leaves none behind"
            assert len(set(pids)) == 2


class TestThreads:
    def test_of_any_number_share_the_processes(self) -> None:
        files = [saved(photo(64 + 8 * number, 64, seed=number), "PNG") for number in range(24)]
        expected = [read_image(data, VIEW) for data in files]
        with closing(DecoderPool(2)) as pool, ThreadPoolExecutor(8) as threads:
            for _ in range(3):
                found = threads.map(pool.image, files, repeat(VIEW))
                assert all((one == other).all() for one, other in zip(found, expected, strict=True))
            assert 1 <= len(pool.pids()) <= 2

    def test_get_their_own_answers_while_processes_die(self) -> None:
        files = [saved(photo(64, 64, seed=number), "PNG") for number in range(64)]
        expected = [read_image(data, VIEW) for data in files]
        done = threading.Event()
        with closing(DecoderPool(2)) as pool, ThreadPoolExecutor(9) as threads:

            def kill() -> int:
                killed = 0
                while not done.wait(0.05):
                    for pid in pool.pids()[:1]:
                        os.kill(pid, signal.SIGKILL)  # unreaped at most: its number is not another's yet
                        killed += 1
                return killed

            def ask(number: int) -> bool | None:
                try:
                    return bool((pool.image(files[number], VIEW) == expected[number]).all())
                except (Invalid, Unavailable):
                    return None

            killer = threads.submit(kill)
            answers = [answer for _ in range(3) for answer in threads.map(ask, range(64))]
            done.set()
            assert killer.result(PATIENCE_S) > 0
            assert False not in answers
            assert True in answers
            assert all((pool.image(data, VIEW) == right).all() for data, right in zip(files, expected, strict=True))

    def test_leave_no_descriptor_behind(self) -> None:
        with closing(DecoderPool(2)) as pool, ThreadPoolExecutor(8) as threads:
            list(threads.map(pool.image, [GOOD] * 16, repeat(VIEW)))
            before = _descriptors()
            for _ in range(5):
                os.kill(pool.pids()[0], signal.SIGKILL)
                list(threads.map(pool.image, [GOOD] * 16, repeat(VIEW)))
            assert _descriptors() <= before + 1  # one process may have been enough at first
        assert _descriptors() <= before - 1


class TestClose:
    def test_ends_all_processes_and_may_be_called_again(self) -> None:
        pool = DecoderPool(2)
        pool.image(GOOD, VIEW)
        pids = pool.pids()
        assert pids
        for _ in range(2):
            pool.close()
        assert pool.pids() == []
        assert all(is_gone(pid) for pid in pids)
        with pytest.raises(Unavailable):
            pool.image(GOOD, VIEW)
        assert pool.pids() == []

    def test_ends_a_row_under_way(self) -> None:
        pool = DecoderPool(1)
        with ThreadPoolExecutor(2) as threads:
            pool.image(GOOD, VIEW)
            (pid,) = pool.pids()
            before = resident_bytes(pid)
            asked = threads.submit(pool.image, LARGE, LONG)
            wait_for(lambda: resident_bytes(pid) > before + (16 << 20))
            waiting = threads.submit(pool.image, GOOD, VIEW)
            pool.close()
            for call in (asked, waiting):
                with pytest.raises(Unavailable):
                    call.result(PATIENCE_S)
        assert is_gone(pid)

    def test_before_anything_was_asked_is_nothing(self) -> None:
        pool = DecoderPool(1)
        assert pool.pids() == []
        pool.close()


class TestProcess:
    """The other side of the socket, spoken to by hand."""

    @pytest.fixture
    def started(self) -> Iterator[tuple[subprocess.Popen[bytes], socket.socket]]:
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                command = [sys.executable, "-m", "tsugiki.data.decoding.worker", str(MEMORY_BYTES)]
                path = os.pathsep.join(sys.path)
                process = subprocess.Popen(command, stdin=theirs.fileno(), env=os.environ | {"PYTHONPATH": path})
            try:
                assert frames.receive(ours, time.monotonic() + PATIENCE_S).header == {}
                yield process, ours
            finally:
                process.kill()
                process.wait()

    def test_ends_when_the_service_is_gone(self, started: tuple[subprocess.Popen[bytes], socket.socket]) -> None:
        process, ours = started
        ours.close()
        assert process.wait(PATIENCE_S) == 0

    def test_is_not_ended_by_what_ends_the_service(
        self, started: tuple[subprocess.Popen[bytes], socket.socket]
    ) -> None:
        process, ours = started
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)
        header = {"kind": "image", "size": 32, "crop": 1.0, "resample": "bilinear", "squash": False}
        frames.send(ours, {**header, "sizes": [len(GOOD)]}, GOOD)
        assert frames.receive(ours).header == {}
        assert frames.receive(ours).header == {"files": [{"shape": [32, 32, 3], "dtype": "uint8"}]}

    def test_has_loaded_no_heavy_library(self, started: tuple[subprocess.Popen[bytes], socket.socket]) -> None:
        process, _ = started
        mapped = Path(f"/proc/{process.pid}/maps").read_text()
        assert "_imaging" in mapped
        for name in ("torch", "onnx", "sndfile", "sqlite", "libssl"):
            assert name not in mapped


class TestAnswers:
    """Of a process that a hostile file may have taken over."""

    ARRAY: ClassVar = {"shape": [2, 3], "dtype": "float32"}
    WHY: ClassVar = {"code": AUDIO, "detail": "none", "fix": "another"}

    def test_lie_one_after_another(self) -> None:
        body = bytearray(np.arange(12, dtype=np.float32).tobytes())
        first, why, second = answers_in(Frame({"files": [self.ARRAY, self.WHY, self.ARRAY]}, body), "sound", 3)
        assert isinstance(why, Invalid) and why.reason == AUDIO
        assert not isinstance(first, Invalid) and first.tolist() == [[0, 1, 2], [3, 4, 5]]
        assert not isinstance(second, Invalid) and second.tolist() == [[6, 7, 8], [9, 10, 11]]

    @pytest.mark.parametrize(
        "header",
        [
            {},
            {"files": None},
            {"files": [ARRAY]},
            {"files": [ARRAY, ARRAY, WHY]},
            {"files": [ARRAY, None]},
            {"files": [ARRAY, {"code": 1, "detail": "none", "fix": "another"}]},
            {"files": [ARRAY, {"shape": [2, 3], "dtype": "uint8"}]},
            {"files": [ARRAY, {"shape": [2, 3], "dtype": "object"}]},
            {"files": [ARRAY, {"shape": 6, "dtype": "float32"}]},
            {"files": [ARRAY, {"shape": [2, "3"], "dtype": "float32"}]},
            {"files": [ARRAY, {"shape": [2, 2.5], "dtype": "float32"}]},
            {"files": [ARRAY, {"shape": [2, 4], "dtype": "float32"}]},
            {"files": [ARRAY, {"shape": [2, 2**70], "dtype": "float32"}]},
            {"files": [ARRAY, {"shape": [-2, 3], "dtype": "float32"}]},
        ],
    )
    def test_that_are_none_are_told(self, header: Header) -> None:
        with pytest.raises(frames.Garbled):
            answers_in(Frame(header, bytearray(48)), "sound", 2)


class TestFrames:
    @pytest.mark.parametrize(
        "sent",
        [
            frames.LENGTHS.pack(2**32 - 1, 0),
            frames.LENGTHS.pack(2, 2**32 - 1) + b"{}",
            frames.LENGTHS.pack(2, 0) + b"[]",
            frames.LENGTHS.pack(2, 0) + b"{{",
            frames.LENGTHS.pack(2, 0) + b"\xff\xfe",
        ],
    )
    def test_that_are_no_frames_are_told(self, sent: bytes) -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            theirs.sendall(sent)
            with pytest.raises(frames.Garbled):
                frames.receive(ours)

    def test_cut_off_are_an_end(self) -> None:
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                theirs.sendall(frames.LENGTHS.pack(2, 8) + b"{}" + b"1234")
            with pytest.raises(EOFError):
                frames.receive(ours)

    def test_trickling_in_are_late_all_the_same(self) -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            theirs.sendall(frames.LENGTHS.pack(2, 8) + b"{")
            with pytest.raises(TimeoutError):
                frames.receive(ours, time.monotonic() + 0.05)


def _descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_a_call_for_many_reads_with_several_processes_and_answers_in_order() -> None:
    both = threading.Barrier(2, timeout=PATIENCE_S)  # passed by two at a time only
    with closing(DecoderPool(2)) as pool:
        items = list(range(64))

        def met(item: int) -> int:
            both.wait()
            return -item

        assert pool.map(met, items) == [-item for item in items]
        assert pool.map(str, items[:1]) == ["0"] and pool.map(str, ()) == []


def test_calls_for_many_keep_no_other_waiting_and_make_no_threads() -> None:
    held, begun = threading.Event(), threading.Semaphore(0)

    def hold(item: int) -> int:
        begun.release()
        assert held.wait(PATIENCE_S)
        return item

    with closing(DecoderPool(2)) as pool, ThreadPoolExecutor(2) as callers:
        many = [callers.submit(pool.map, hold, range(50)) for _ in range(2)]
        for _ in range(4):  # two callers, and the two threads of the pool
            assert begun.acquire(timeout=PATIENCE_S)
        threads = threading.active_count()
        assert pool.map(str, range(20)) == [str(item) for item in range(20)], "by the calling thread"
        assert threading.active_count() == threads
        held.set()
        assert [one.result(PATIENCE_S) for one in many] == [list(range(50))] * 2


@pytest.mark.parametrize("bad", [0, 1, 7])
def test_what_reading_raises_is_raised_and_the_rest_is_left(bad: int) -> None:
    read: list[int] = []

    def refuse(item: int) -> None:
        read.append(item)
        if item == bad:
            raise ValueError(f"item {item}")

    with closing(DecoderPool(1)) as alone, closing(DecoderPool(2)) as pool:
        with pytest.raises(ValueError, match=f"item {bad}"):
            alone.map(refuse, range(8))
        assert read == list(range(bad + 1))
        with pytest.raises(ValueError, match=f"item {bad}"):
            pool.map(refuse, range(8))
    with pytest.raises(Unavailable):
        pool.map(refuse, range(8))
