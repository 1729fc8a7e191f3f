"""Starting again, waiting longer, giving up: on a clock that a test moves."""

from __future__ import annotations

import pytest

from pipeline.errors import Unavailable
from serving.supervisor import Backoff, Supervised


def test_each_wait_is_twice_as_long_up_to_half_a_minute_until_it_has_run_a_while():
    backoff = Backoff()
    assert [backoff.next(3) for _ in range(8)] == [0.5, 1, 2, 4, 8, 16, 30, 30]
    assert backoff.next(60) == 0.5
    assert backoff.next(59) == 1


class Server:
    """A run that does what the test tells it to."""

    def __init__(self):
        self.status = None
        self.ready = False
        self.alive = True
        self.stopped = self.at_once = False

    def ended(self):
        return self.status

    def is_ready(self):
        return self.ready

    def is_alive(self):
        return self.alive

    def reason(self):
        return "it has its reasons"

    def stop(self, *, at_once=False):
        self.stopped, self.at_once = True, at_once


class Bench:
    """A supervised server, the runs it had, and what was told of them."""

    def __init__(self):
        self.now, self.said, self.error = 0.0, [], None
        self.runs = [Server()]
        self.supervised = Supervised(
            "Triton", self.runs[0], self.start, patience=120, hang_seconds=10, clock=self.clock
        )

    def clock(self):
        return self.now

    def start(self):
        if self.error:
            raise self.error
        assert all(run.stopped for run in self.runs), "two would run at once"
        self.runs.append(Server())
        return self.runs[-1]

    def pass_time(self, seconds):
        for _ in range(round(seconds * 10)):
            self.now += 0.1
            self.supervised.watch(self.said.append)


@pytest.fixture
def bench():
    return Bench()


def test_what_runs_is_left_alone(bench):
    bench.pass_time(600)
    assert (len(bench.runs), bench.said) == (1, [])


def test_what_ended_is_cleared_up_and_started_again(bench):
    bench.runs[0].status = -9
    bench.pass_time(0.4)
    assert bench.runs[0].stopped
    assert len(bench.runs) == 1
    bench.pass_time(0.3)
    assert bench.supervised.run is bench.runs[1]
    bench.runs[1].ready = True
    bench.pass_time(100)
    assert bench.said == ["Triton ended (signal 9); starting it again", "Triton is back"]
    assert len(bench.runs) == 2


def fail_to_start(bench, seconds):
    """Every run from now on ends at once."""
    for _ in range(round(seconds * 10)):
        bench.supervised.run.status = 1
        bench.pass_time(0.1)


def test_it_gives_up_after_five_starts_that_failed(bench):
    with pytest.raises(Unavailable, match="Triton did not come up in 5 tries: it has its reasons"):
        fail_to_start(bench, 60)
    assert len(bench.runs) == 1 + 5
    assert all(run.stopped for run in bench.runs)
    assert bench.said == (["Triton ended (exit status 1); starting it again"] * 5)
    assert bench.now == pytest.approx(0.5 + 1 + 2 + 4 + 8, abs=2)


@pytest.mark.parametrize("error", [Unavailable("No engine for unet"), OSError("No space left")])
def test_a_start_that_is_impossible_counts_as_one_that_failed(bench, error):
    bench.pass_time(100)
    bench.error, bench.runs[0].status = error, -9
    began = bench.now
    with pytest.raises(Unavailable, match=f"in 5 tries: {error}"):
        bench.pass_time(60)
    assert bench.now - began == pytest.approx(0.5 + 1 + 2 + 4 + 8, abs=2)


def test_five_ends_of_runs_that_were_ready_are_no_reason_to_give_up(bench):
    for _ in range(7):
        bench.supervised.run.status = -11
        bench.pass_time(31)
        bench.supervised.run.ready = True
        bench.pass_time(1)
    assert len(bench.runs) == 8


def test_one_that_stays_silent_is_replaced(bench):
    bench.runs[0].status = -9
    bench.pass_time(119)
    assert len(bench.runs) == 2
    bench.pass_time(10)
    assert bench.runs[1].stopped
    assert bench.said[-1] == "Triton does not come up; starting it again"
    assert len(bench.runs) == 3


def test_one_that_hangs_is_replaced_at_once_when_patience_is_over(bench):
    bench.pass_time(100)
    bench.runs[0].alive = False
    bench.pass_time(9)
    assert bench.said == []
    bench.pass_time(4)
    assert bench.runs[0].at_once
    bench.runs[1].ready = True
    bench.pass_time(100)
    assert bench.said == ["Triton does not answer for 10 s; starting it again", "Triton is back"]
    assert len(bench.runs) == 2


def test_one_that_answers_again_in_time_is_left_alone(bench):
    for _ in range(5):
        bench.runs[0].alive = False
        bench.pass_time(8)
        bench.runs[0].alive = True
        bench.pass_time(2)
    assert (len(bench.runs), bench.said) == (1, [])


def test_a_watcher_that_was_stopped_itself_asks_before_it_judges(bench):
    bench.pass_time(10)
    bench.now += 300
    bench.pass_time(10)
    assert (len(bench.runs), bench.said) == (1, [])


def test_without_patience_to_lose_nothing_is_replaced(bench):
    supervised = Supervised("Triton", Server(), bench.start, 120, clock=bench.clock)
    supervised.run.alive = False
    for _ in range(1000):
        bench.now += 1
        supervised.watch(bench.said.append)
    assert bench.said == []
