"""Two models are compared image by image, in whatever order their embedding sets are."""

import numpy as np

from benchmarks.house_model import in_order_of_ids


def test_values_of_two_sets_meet_at_the_same_image() -> None:
    rng = np.random.default_rng(0)
    ids_N16, values_N = rng.integers(0, 3, (200, 16), np.uint8), rng.random(200)
    ids_N16[:, 0] = np.arange(200) // 20  # the rest decides among many
    order = rng.permutation(200)
    assert not np.array_equal(values_N[order], values_N)
    found = in_order_of_ids(values_N[order], ids_N16[order])
    np.testing.assert_array_equal(found, in_order_of_ids(values_N, ids_N16))
    assert in_order_of_ids(np.arange(200.0), ids_N16).astype(int).tolist() == sorted(
        range(200), key=lambda row: ids_N16[row].tobytes()
    )
