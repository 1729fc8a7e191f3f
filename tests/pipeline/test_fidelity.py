from __future__ import annotations

import numpy as np
import pytest

from pipeline.fidelity import edge_f1, structure_f1


def line(column, side=64):
    edges = np.zeros((side, side), np.uint8)
    edges[8:56, column] = 255
    return edges


@pytest.mark.parametrize(("shift", "expected"), [(0, 1.0), (2, 1.0), (3, 0.0), (20, 0.0)])
def test_an_edge_counts_within_the_tolerance(shift, expected):
    assert edge_f1(line(20), line(20 + shift)) == expected


def test_what_is_missing_and_what_is_added_both_cost():
    both = line(20) | line(50)
    assert edge_f1(both, line(20)) == pytest.approx(2 / 3)
    assert edge_f1(line(20), both) == pytest.approx(2 / 3)


def test_empty_maps():
    empty = np.zeros((64, 64), np.uint8)
    assert edge_f1(empty, empty) == 1.0
    assert edge_f1(empty, line(5)) == 0.0
    assert edge_f1(line(5), empty) == 0.0


def test_a_render_that_keeps_the_lines_scores_high_and_noise_does_not():
    render = np.full((64, 64, 3), 230, np.uint8)
    render[8:56, 30:] = 20
    wanted = np.zeros((64, 64), np.uint8)
    wanted[8:56, 30] = 255
    wanted[8, 30:] = wanted[55, 30:] = 255
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    kept, lost = structure_f1(wanted, render, 50, 150), structure_f1(wanted, noise, 50, 150)
    assert kept > 0.95
    assert lost < 0.6
