"""The ratios, the table and the picture of the benchmark."""

import re
import time

import pytest
from benchmark_cases import MATPLOTLIB, record

from ci import benchmarks
from ci.benchmarks import report
from ci.benchmarks.worker import calls_for

GIVEN = [
    record("xpmlp", "own", [1e-6, 2e-6, 4e-6]),
    record("slow", "peer", [4e-6, 8e-6, 8e-6]),
    record("quick", "peer", [2e-6, 2e-6, 2e-6]),
    record("broken", "peer", [1e-9], error="ImportError: no such thing"),
    record("matrix products alone", "bound", [1e-6, 1e-6, 1e-6]),
]


def test_a_ratio_is_taken_round_by_round_and_the_best_peer_has_the_least_median_time():
    by_name = {r["name"]: r for r in GIVEN}
    assert report.ratio(by_name["slow"], by_name["xpmlp"]) == (3.0, 4.0, 4.0)
    assert report.fastest(by_name, "peer")["name"] == "quick"
    text = report.table(GIVEN)
    assert "2.00 us  1.00*" in text and "8.00 us  4.00\n" in text
    assert "best peer / xpmlp                 1.00\n  quartiles                  0.75-1.50" in text
    assert "xpmlp / products alone            2.00" in text


def test_a_contender_that_failed_is_named_with_its_reason_and_left_out_of_the_ratios():
    by_name = {r["name"]: r for r in GIVEN}
    assert report.ratio(by_name["broken"], by_name["xpmlp"]) is None
    lines = report.table(GIVEN).splitlines()
    assert lines[-1] == "broken: ImportError: no such thing"
    assert next(line for line in lines if line.startswith("broken ")).endswith("failed")


def test_without_xpmlp_there_is_no_ratio():
    assert "/" not in report.table(GIVEN[1:3]).replace("xpmlp's", "")


def test_the_scikit_learn_row_compares_its_fastest_form_with_ours_not_compiled():
    rows = [
        record("xpmlp, not compiled", "shown", [2e-6, 2e-6]),
        record("scikit-learn", "peer", [9e-6, 9e-6]),
        record("scikit-learn, chunks", "peer", [5e-6, 5e-6]),
    ]
    assert re.search(r"scikit-learn / not compiled +2\.50", report.table(rows))


ON_CARD = {"device": "cuda", "precision": "high", "threads": 16, "floor": 5.5, "goal": 47}
ON_H100 = [
    record("xpmlp graph", "own", [], error="no such graph") | ON_CARD,
    record("xpmlp eager", "own", [44e-6, 44e-6]) | ON_CARD,
    record("xpmlp generic", "own", [40e-6, 40e-6]) | ON_CARD,
    record("torch graph", "peer", [66e-6, 66e-6]) | ON_CARD,
]


def test_on_a_card_the_ratios_are_to_the_first_tier_that_works():
    text = report.table(ON_H100, "NVIDIA A100")
    assert text.startswith("steps, CUDA, TF32: time a step")
    assert "44.0 us\n" in text and "40.0 us  0.91\n" in text and "66.0 us  1.50*" in text
    assert "floor" not in text and "xpmlp graph: no such graph" in text


def test_floor_and_goal_are_shown_on_the_card_that_they_are_for():
    lines = report.table(ON_H100, "NVIDIA H100 80GB HBM3").splitlines()
    start = lines.index("xpmlp / floor                     8.00")
    assert lines[start + 1].split() == ["floor", "5.50", "us"]
    assert lines[start + 2].split() == ["goal", "47.0", "us"]


def test_the_memory_of_fits_stands_beside_its_goal():
    (case,) = benchmarks.cases_of("fits", ["seed-mnist"])
    weights, activations = 784 * 30 + 30 + 30 * 10 + 10, 20 * (784 + 30 + 10)
    assert case.peak_goal == 4 * (60_000 * 794 + 6 * weights + 2 * activations)
    text = report.table([record("xpmlp", "own", [1.0], peak=3 * 2**20, peak_goal=2**20)])
    assert "  goal                             1.0\n  xpmlp                            3.0" in text


@pytest.mark.parametrize(
    "seconds, text",
    [(9.5e-7, "0.95 us"), (2.34e-5, "23.4 us"), (0.0123, "12.3 ms"), (1.5, "1.50 s")],
)
def test_a_duration_has_three_digits_and_a_unit(seconds, text):
    assert report.duration(seconds) == text


@MATPLOTLIB
def test_a_cell_says_the_median_ratio_and_is_blue_where_xpmlp_is_faster(tmp_path):
    from matplotlib.figure import Figure

    axes, names = Figure().subplots(), ["xpmlp", *(r["name"] for r in GIVEN[1:])]
    report.draw(axes, report.grouped(GIVEN)["steps", "1 thread"], names)
    written = {names[int(t.get_position()[1])]: t.get_text() for t in axes.texts}
    assert written == {
        "xpmlp": "2.00 us",
        "slow": "4.00",
        "quick": "1.00",
        "matrix products alone": "0.50",
    }
    colours = axes.images[0].to_rgba(axes.images[0].get_array())[:, 0]
    (red, _, blue, _), (more_red, _, less_blue, _) = colours[1], colours[4]
    assert blue > red and more_red > less_blue
    path = tmp_path / "a.png"
    report.picture([*GIVEN, record("xpmlp", "own", [1.0], threads=2), *ON_H100], path)
    assert path.read_bytes().startswith(b"\x89PNG")


def test_the_calls_of_a_timing_take_about_the_seconds_asked_for():
    ready = benchmarks.peers.Ready(lambda n: time.sleep(n * 1e-3), 1, None)
    assert 10 <= calls_for(ready, 0.05) <= 50  # a sleep is never shorter than asked for
    assert calls_for(ready._replace(units=4), 0.001, least=30) == 8
