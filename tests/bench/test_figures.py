"""The arithmetic of the bench, on times whose figures are known."""

from __future__ import annotations

import json
from collections import Counter
from itertools import islice, pairwise

import grpc
import pytest

from bench import arithmetic, report
from bench.bars import BARS, WITHOUT_BARS
from bench.caller import Told
from bench.company import level_figures, step_time
from bench.endurance import memory_figures
from bench.library import unit_vectors
from bench.offered import MEAN_STEPS, MIX, overload_figures
from bench.parts import PARTS
from bench.stack import Counts
from evaluation.bars import Bar, Verdict, look_up, missed, table
from maquette.client import CallFailed

FULL_QUEUE = CallFailed("32 renders are waiting already.", grpc.StatusCode.RESOURCE_EXHAUSTED, 2.0)


def told(seconds=1.0, steps=(), failed=None, sent=0.0):
    one = Told({}, sent=sent, steps=list(steps), ended=sent + seconds, failed=failed)
    one.result = None if failed else object()
    return one


def test_percentiles_lie_between_the_measured_values():
    found = arithmetic.latencies([float(value) for value in range(1, 101)])
    assert found == {"p50_s": 50.5, "p95_s": 95.05, "p99_s": 99.01}
    assert arithmetic.latencies([3.0]) == {"p50_s": 3.0, "p95_s": 3.0, "p99_s": 3.0}
    assert arithmetic.latencies([]) == {"p50_s": None, "p95_s": None, "p99_s": None}


def test_an_overhead_is_that_of_the_medians():
    assert arithmetic.overhead([1.1, 9.0, 1.0], [1.0, 1.0, 5.0]) == pytest.approx(0.1)
    with pytest.raises(ValueError, match="nothing was measured"):
        arithmetic.overhead([], [1.0])


def test_intervals_are_those_that_overlap_the_time_asked_for():
    times = [0.0, 1.0, 3.0, 6.0, 10.0]
    assert arithmetic.intervals(times, 1.5, 3.5) == [2.0, 3.0]
    assert arithmetic.intervals(times, float("-inf"), float("inf")) == [1.0, 2.0, 3.0, 4.0]
    assert arithmetic.intervals(times, 11.0, 12.0) == []


def test_arrivals_are_poisson_and_the_seeds():
    moments = arithmetic.poisson(rate=50, seconds=100, seed=3)
    assert moments == arithmetic.poisson(rate=50, seconds=100, seed=3)
    assert moments != arithmetic.poisson(rate=50, seconds=100, seed=4)
    assert moments == sorted(moments)
    assert moments[0] > 0
    assert moments[-1] < 100
    gaps = [after - before for before, after in pairwise(moments)]
    assert len(moments) == 5000
    # Of exponential gaps, a share of 1/e is longer than their mean.
    longer = sum(gap > 1 / 50 for gap in gaps) / len(gaps)
    assert longer == pytest.approx(0.368, abs=0.02)
    assert len(arithmetic.poisson(rate=0.1, seconds=2, seed=0)) == 1


def test_a_mix_has_every_kind_equally_often():
    drawn = list(islice(arithmetic.shuffled_decks(MIX, seed=1), 3 * len(MIX)))
    assert set(Counter(drawn).values()) == {3}
    assert drawn[: len(MIX)] != drawn[len(MIX) : 2 * len(MIX)]
    assert pytest.approx((4 + 20 + 50) / 3) == MEAN_STEPS


def test_counts_are_differences_and_batches_their_ratio():
    new = Counts(16, 32, 4).since(Counts(6, 12, 2))
    assert new == Counts(10, 20, 2)
    assert new.mean_batch == 5
    assert new.since(new).mean_batch is None


def test_a_level_of_the_closed_loop_is_all_of_its_runs():
    runs = [
        ([told(1.0, [0.25, 0.5]), told(3.0, [0.5, 1.5])], 4.0, Counts(4, 8, 2)),
        ([told(2.0, [0.0, 0.5])], 2.0, Counts(2, 4, 1)),
    ]
    found = level_figures(8, runs)
    assert found["renders"] == 3
    assert found["renders_per_s"] == 0.5
    assert found["p50_s"] == 2.0
    assert found["step_s"] == 0.5
    assert found["mean_batch"] == 2.0


def test_a_step_time_is_that_of_the_others_meanwhile():
    running = [told(9, [0, 1, 2, 3, 9]), told(9, [0, 1, 3, 5, 9])]
    assert step_time(running, 2.5, 2.9) == 1.5


def test_memory_grows_by_so_many_bytes_a_render_from_the_sample_named():
    samples = [{"a": 50, "b": 0}, {"a": 100, "b": 90}, {"a": 250, "b": 90}, {"a": 400, "b": 90}]
    found = memory_figures(samples, every=50, first=50)
    assert found["memory_growth"] == 3.0
    assert found["memory"]["renders"] == [0, 50, 100, 150]
    assert found["memory"]["bytes"] == {"a": [50, 100, 250, 400], "b": [0, 90, 90, 90]}
    assert found["memory"]["bytes_a_render"] == {"a": 3.0, "b": 0.0}


def test_a_process_that_leaks_is_seen_however_large_the_others_are():
    samples = [{"large": 10**9, "small": 1000 + 70_000 * n} for n in range(10)]
    assert memory_figures(samples, every=1, first=1)["memory_growth"] == 70_000


def test_a_process_that_comes_later_has_no_bytes_before():
    found = memory_figures([{"a": 1}, {"a": 1, "late": 1}], every=1, first=0)
    assert found["memory"]["bytes"]["late"] == [0, 1]
    assert found["memory_growth"] == 1.0


def test_overload_tells_the_refused_from_the_failed():
    broken = CallFailed("broken", grpc.StatusCode.INTERNAL)
    curt = CallFailed("no room", grpc.StatusCode.RESOURCE_EXHAUSTED)
    made = [told(3.0), told(failed=FULL_QUEUE), told(failed=curt), told(failed=broken)]
    found = overload_figures([told(2.0)], made, 32, [0.5], [told(0.6)], 2.0)
    assert found["offered"] == 4
    assert found["accepted"] == 1
    assert found["refused"] == 2
    assert found["refused_with_retry_info"] == 1
    assert found["other_failures"] == 1
    assert found["ratio"] == 1.5
    assert found["recovered"] is True
    verdicts = {bar.figure: bar.verdict({"overload": found}) for bar in BARS}
    assert verdicts["overload.refused_with_retry_info"] is Verdict.MISSED
    assert verdicts["overload.other_failures"] is Verdict.MISSED
    assert verdicts["overload.ratio"] is Verdict.REACHED


@pytest.mark.parametrize("after", [told(2.0), told(failed=FULL_QUEUE)], ids=["slow", "refused"])
def test_it_has_not_recovered_while_renders_are_slow_or_refused(after):
    found = overload_figures([told(2.0)], [told(3.0)], 32, [0.5], [after], 2.0)
    assert found["recovered"] is False


@pytest.mark.parametrize(
    ("bar", "found", "verdict"),
    [
        (Bar("a", 2.0), {"a": 2.0}, Verdict.REACHED),
        (Bar("a", 2.0), {"a": 1.9}, Verdict.MISSED),
        (Bar("a", 2.0, upper=True), {"a": 2.0}, Verdict.REACHED),
        (Bar("a", 2.0, upper=True), {"a": 2.1}, Verdict.MISSED),
        (Bar("a", 0, upper=True), {"a": 0}, Verdict.REACHED),
        (Bar("a", 0.5, share_of="b"), {"a": 1.0, "b": 2.0}, Verdict.REACHED),
        (Bar("a", 0.5, share_of="b"), {"a": 0.9, "b": 2.0}, Verdict.MISSED),
        (Bar("a", 0.5, share_of="b"), {"a": 1.0}, Verdict.NOT_MEASURED),
        (Bar("a", True), {"a": False}, Verdict.MISSED),
        (Bar("a.b", 1.0), {"a": {"b": 1.0}}, Verdict.REACHED),
        (Bar("a.b", 1.0), {"a": None}, Verdict.NOT_MEASURED),
        (Bar("a", 1.0), {}, Verdict.NOT_MEASURED),
    ],
)
def test_a_bar_is_reached_missed_or_not_measured(bar, found, verdict):
    assert bar.verdict(found) is verdict
    assert bool(list(missed(found, (bar,)))) is (verdict is Verdict.MISSED)


def test_a_report_of_parts_says_what_was_not_measured(tmp_path):
    found = {"join_steps": 2.5, "closed_loop": [{"in_flight": 1, "p50_s": None}]}
    whole = report.finished(found, "full", ["join"], {"cores": 2})
    report.write(whole, tmp_path)
    read = json.loads((tmp_path / report.FILE).read_text())
    assert read["join_steps"] == 2.5
    assert "join_steps" not in read["not_measured"]
    assert "overload.ratio" in read["not_measured"]
    assert len(read["not_measured"]) == len(set(read["not_measured"]))
    assert [bar.figure for bar in missed(read, BARS)] == ["join_steps"]
    assert table(read, BARS, WITHOUT_BARS).row_count >= len(BARS)
    assert len(list(report.loads(read))) == 1


def test_the_printed_verdicts_name_each_bar():
    cells = [list(column.cells) for column in table({"join_steps": 1.5}, BARS).columns]
    rows = {row[0]: row[1:] for row in zip(*cells, strict=True)}
    assert rows["join_steps"] == ("1.500", "≤ 2.000", "[green]reached[/green]")
    assert rows["memory_growth"] == ("-", "≤ 3000", "[yellow]not measured[/yellow]")


def test_every_bars_figure_is_looked_up_as_a_path():
    assert look_up({"overload": {"ratio": 1.2}}, "overload.ratio") == 1.2
    assert look_up({"overload": {}}, "overload.ratio") is None


def test_parts_can_be_named_on_a_command_line():
    assert all(name.replace("-", "").isalpha() for name in PARTS)


def test_random_vectors_have_length_one():
    vectors = unit_vectors(5, seed=0)
    assert (vectors**2).sum(axis=1) == pytest.approx([1] * 5)
