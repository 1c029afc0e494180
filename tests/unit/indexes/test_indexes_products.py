"""The rows of the largest products against a full sort: with ties, slack, and rows left out."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lookalike.indexes import products as products_module
from lookalike.indexes.products import largest_products


@settings(deadline=None, max_examples=80)
@given(
    seed=st.integers(0, 2**32 - 1),
    num_rows=st.integers(0, 3000),
    num_queries=st.integers(0, 7),
    k=st.integers(1, 30),
    slack=st.sampled_from([0.0, 0.5, 3.0]),
    values=st.sampled_from([3, 1000]),
    share=st.sampled_from([None, 0.0, 0.05, 0.9]),
)
def test_everything_within_the_slack_of_the_kth_product(
    seed: int, num_rows: int, num_queries: int, k: int, slack: float, values: int, share: float | None
) -> None:
    """Integers, so that products are exact; few of them, so that many tie."""
    rng = np.random.default_rng(seed)
    embeddings = rng.integers(0, values, (num_rows, 2)).astype(np.float32)
    queries = rng.integers(0, 3, (num_queries, 2)).astype(np.float32)
    rows = None if share is None else np.flatnonzero(rng.random(num_rows) < share)
    slacks = np.full(num_queries, slack, np.float32)
    found = list(largest_products(queries, embeddings, k, slacks, rows_n=rows))
    assert len(found) == num_queries
    looked_at = np.arange(num_rows) if rows is None else rows
    for query, (found_rows, found_products) in zip(queries, found, strict=True):
        products = embeddings[looked_at] @ query
        least = np.sort(products)[-min(k, len(products))] - slack if len(products) else 0
        assert found_rows.tolist() == looked_at[products >= least].tolist()
        assert found_products.tolist() == products[products >= least].tolist()


def test_the_groups_are_used_and_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    embeddings = rng.standard_normal((20_000, 4)).astype(np.float32)
    queries = rng.standard_normal((5, 4)).astype(np.float32)
    partitioned: list[int] = []
    kth = products_module._kth
    monkeypatch.setattr(products_module, "_kth", lambda values, k: partitioned.append(len(values)) or kth(values, k))
    grouped = [rows.tolist() for rows, _ in largest_products(queries, embeddings, 26)]
    assert max(partitioned) < 1000
    monkeypatch.setattr(products_module, "_LEAST_GROUP", 10**9)
    assert grouped == [rows.tolist() for rows, _ in largest_products(queries, embeddings, 26)]
    assert max(partitioned) == 20_000
