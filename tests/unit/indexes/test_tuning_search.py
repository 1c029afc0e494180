"""The least effort that suffices is found, confirmed with other queries, and its absence is said."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lookalike.errors import UnknownParameter
from lookalike.indexes.exact_scan import exact_neighbours
from lookalike.indexes.parameter_search import Trial, find_least
from lookalike.indexes.port import (
    NO_PARAMS,
    BuildInput,
    Capabilities,
    Metric,
    Neighbours,
    Params,
    ParamSpec,
)
from lookalike.indexes.registry import backend
from lookalike.indexes.rows import Embeddings
from lookalike.indexes.tuning import TuneReport, tune, tune_builds
from lookalike.types.filters import Filter


def effort(default: int | None = 10, minimum: int = 1, maximum: int = 10_000) -> ParamSpec:
    return ParamSpec(int, default, "", minimum=minimum, maximum=maximum)


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 10_000), st.integers(1, 50))
def test_the_least_value_is_found_to_a_tenth(sufficient: int, default: int) -> None:
    def measure(params: Params) -> Trial:
        value = int(params.get("ef", default))
        return Trial(params, min(1.0, value / sufficient), value)

    trials = find_least({"ef": effort(default)}, measure, 1.0, 10_000)
    least = min(int(trial.params["ef"]) for trial in trials if "ef" in trial.params and trial.knn_recall >= 1)
    assert sufficient <= least <= max(sufficient + 1, sufficient * 1.1 + 1)
    assert len(trials) < 30
    measured = [tuple(trial.params.items()) for trial in trials]
    assert len(measured) == len(set(measured))


def test_a_parameter_without_effect_and_those_that_are_no_effort_are_left_alone() -> None:
    specs = {"ef": effort(), "nprobe": effort(), "rescore": ParamSpec(bool, True, ""), "kind": ParamSpec(str, "a", "")}

    def measure(params: Params) -> Trial:
        return Trial(params, min(1.0, int(params.get("ef", 10)) / 70), 1)

    trials = find_least(specs, measure, 0.9, 1000)
    assert {name for trial in trials for name in trial.params} == {"ef", "nprobe"}
    assert not any({"ef", "nprobe"} <= set(trial.params) for trial in trials)


def test_two_parameters_that_only_suffice_together_are_found() -> None:
    def measure(params: Params) -> Trial:
        cells, again = int(params.get("nprobe", 1)), int(params.get("rescore", 0))
        return Trial(params, min(1.0, cells / 20) * (0.6 + 0.4 * min(1.0, again / 5)), 1)

    trials = find_least({"nprobe": effort(1), "rescore": effort(0, minimum=0)}, measure, 0.99, 1000)
    best = max(trials, key=lambda trial: trial.knn_recall)
    assert best.knn_recall >= 0.99
    assert set(best.params) == {"nprobe", "rescore"}


class Effort:
    """Finds each exact neighbour with probability ``ef / full``, and takes ``ef`` ms a query by its own clock."""

    name = "effort"
    metric = Metric("inner_product")
    capabilities = Capabilities(
        metrics=("inner_product",),
        filters_natively=False,
        updates_in_place=False,
        build_params={"full": effort(100)},
        search_params={"ef": effort(10)},
    )

    search_params = capabilities.search_params

    def __init__(self, base: Embeddings, full: int) -> None:
        self.base, self.full, self.now_s = base, full, 0.0
        self.num_embeddings, self.dimension = base.embeddings_ND.shape

    def search(
        self,
        queries_QD: np.ndarray,
        k: int,
        *,
        allowed_N: np.ndarray | None = None,
        native_filter: Filter | None = None,
        params: Params = NO_PARAMS,
    ) -> Neighbours:
        self.now_s += int(params["ef"]) / 1000 * len(queries_QD)
        # Which rows it finds at which effort is fixed: recall never falls with it.
        allowed = np.random.default_rng(0).random(self.num_embeddings) < int(params["ef"]) / self.full
        exact = exact_neighbours(queries_QD, self.base.embeddings_ND, k, allowed_N=allowed)
        return Neighbours(exact.rows_QK, -exact.similarities_QK)

    def build(self, source: BuildInput, directory: Path, params: Params) -> None:
        (directory / "full").write_text(str(params["full"]))

    def open(self, directory: Path, embeddings_ND: np.ndarray, ids_N16: np.ndarray) -> "Effort":
        return Effort(Embeddings(embeddings_ND, ids_N16), int((directory / "full").read_text()))

    def close(self) -> None:
        pass


@pytest.fixture(scope="module")
def base() -> Embeddings:
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((1500, 6)).astype(np.float32)
    return Embeddings(
        rows / np.linalg.norm(rows, axis=1, keepdims=True), rng.integers(0, 256, (1500, 16)).astype(np.uint8)
    )


def run(base: Embeddings, full: int, target: float, **how: int) -> TuneReport:
    index = Effort(base, full)
    clock: Callable[[], float] = lambda: index.now_s  # noqa: E731
    return tune(index, base, target_knn_recall=target, clock_s=clock, num_queries=100, **how)


def test_the_fastest_sufficient_effort_is_reported(base: Embeddings) -> None:
    report = run(base, 400, 0.8)
    assert report.reached
    assert 0.8 <= report.knn_recall < 0.92
    assert 290 <= int(report.params["ef"]) <= 370  # 0.8 of 400, to a tenth and the luck of the draw
    assert report.latency_p50_ms == pytest.approx(int(report.params["ef"]))
    assert (report.k, report.num_queries, report.target_knn_recall) == (10, 100, 0.8)
    assert "wanted: 0.8000" in report.summary
    assert report.trials[0].params == {"ef": 10}


def test_a_target_out_of_reach_is_said_and_the_best_given(base: Embeddings) -> None:
    report = run(base, 40_000, 0.9)  # the largest effort finds a quarter
    assert not report.reached
    assert int(report.params["ef"]) == 10_000
    assert report.knn_recall == pytest.approx(0.25, abs=0.06)
    assert report.summary.startswith("0.9000 cannot be reached with this index; the best is knn recall@10 0.2")


def test_the_same_seed_gives_the_same_report(base: Embeddings) -> None:
    assert run(base, 400, 0.8, seed=5, k=3) == run(base, 400, 0.8, seed=5, k=3)


def test_the_best_build_comes_first(base: Embeddings, tmp_path: Path) -> None:
    source = BuildInput(base.embeddings_ND, base.ids_N16)
    reports = tune_builds(
        backend("faiss"),
        source,
        tmp_path,
        [{"kind": "IVF", "nlist": 30}, {"kind": "Flat"}],
        target_knn_recall=0.9,
        num_queries=50,
    )
    assert {report.build_params["kind"] for report in reports} == {"IVF", "Flat"}
    assert all(report.reached for report in reports)
    assert reports[0].latency_p50_ms <= reports[1].latency_p50_ms
    assert sorted(folder.name for folder in tmp_path.iterdir()) == ["0", "1"]


def test_builds_that_miss_the_target_come_after_those_that_reach_it(base: Embeddings, tmp_path: Path) -> None:
    index = Effort(base, 1)
    reports = tune_builds(
        index,
        BuildInput(base.embeddings_ND, base.ids_N16),
        tmp_path,
        [{"full": 10_000}, {"full": 2}],
        target_knn_recall=1.0,
        num_queries=20,
    )
    assert reports[0].reached
    assert reports[0].knn_recall == 1.0


def test_a_build_parameter_that_is_not_declared_is_refused(base: Embeddings, tmp_path: Path) -> None:
    with pytest.raises(UnknownParameter):
        tune_builds(
            Effort(base, 1),
            BuildInput(base.embeddings_ND, base.ids_N16),
            tmp_path,
            [{"fool": 1}],
            target_knn_recall=0.9,
        )
