"""The rows of the largest inner products with each query: what every exact search here begins with.

Shape suffixes: N embeddings, n allowed ones, D dimension, Q queries, C candidates of one query.
"""

from collections.abc import Callable, Iterator
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Products: TypeAlias = Callable[[NDArray[np.float32], NDArray[np.float32]], NDArray[np.float32]]  # [Q,D],[n,D]->[Q,n]

_BUFFER_FLOATS = 8 * 2**20  # 32 MiB of gathered rows, and as much of products, at a time
# A matrix-matrix product of a few rows is slower than as many matrix-vector products (OpenBLAS, 100k x 512:
# 14 ms for 2 to 4 queries together against 3 ms for each alone).
_FEW_QUERIES = 4
# Reading all rows in place is faster than gathering, unless few are allowed (100k x 512, one query: 16 ms for
# all, 64 ms for a third, 16 ms for a twentieth).
_GATHERED_SHARE = 1 / 8
_GROUPS = 16  # groups of products for each one wanted: with more, fewer candidates too many
_LEAST_GROUP = 8  # products a group, under which partitioning all of them is as fast


def matrix_products(queries_QD: NDArray[np.float32], rows_nD: NDArray[np.float32]) -> NDArray[np.float32]:
    """All inner products, float32 [Q, n], by NumPy."""
    return np.asarray(queries_QD @ rows_nD.T, dtype=np.float32)


def largest_products(
    queries_QD: NDArray[np.float32],
    embeddings_ND: NDArray[np.float32],
    k: int,
    slacks_Q: NDArray[np.float32] | None = None,
    *,
    rows_n: NDArray[np.int64] | None = None,
    products: Products = matrix_products,
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
    """For each query in turn the rows, int64 [C], whose product is at most its slack below the k-th largest.

    C is at least the smaller of ``k`` and the number of rows, and more where products tie or nearly do. The
    rows ascend; their products, float32 [C], come with them. Only ``rows_n`` (ascending) are looked at when
    given. Holds tens of MiB beside the result, or one query's products where these are more.
    """
    num_rows = len(embeddings_ND) if rows_n is None else len(rows_n)
    slacks = np.zeros(len(queries_QD), np.float32) if slacks_Q is None else slacks_Q
    step = max(1, _BUFFER_FLOATS // max(1, len(embeddings_ND)))
    for start in range(0, len(queries_QD), step):
        of_block = _all_products(queries_QD[start : start + step], embeddings_ND, rows_n, products)
        for products_n, slack in zip(of_block, slacks[start : start + step], strict=True):
            columns = _largest(products_n, min(k, num_rows), float(slack))
            yield (columns if rows_n is None else rows_n[columns]), products_n[columns]


def _all_products(
    queries_QD: NDArray[np.float32],
    embeddings_ND: NDArray[np.float32],
    rows_n: NDArray[np.int64] | None,
    products: Products,
) -> NDArray[np.float32]:
    if len(embeddings_ND) == 0 or (rows_n is not None and len(rows_n) == 0):
        return np.empty((len(queries_QD), 0), np.float32)
    if rows_n is None or len(rows_n) > _GATHERED_SHARE * len(embeddings_ND):
        if len(queries_QD) <= _FEW_QUERIES:
            products_QN = np.concatenate([products(query_D[None], embeddings_ND) for query_D in queries_QD])
        else:
            products_QN = products(queries_QD, embeddings_ND)
        return products_QN if rows_n is None else products_QN[:, rows_n]
    products_Qn = np.empty((len(queries_QD), len(rows_n)), np.float32)
    step = max(1, _BUFFER_FLOATS // embeddings_ND.shape[1])
    for start in range(0, len(rows_n), step):
        gathered = embeddings_ND[rows_n[start : start + step]]
        products_Qn[:, start : start + step] = products(queries_QD, gathered)
    return products_Qn


def _largest(products_n: NDArray[np.float32], k: int, slack: float) -> NDArray[np.int64]:
    """The columns of all products that are at least the k-th largest less ``slack``, ascending."""
    if k >= len(products_n):
        return np.arange(len(products_n))
    columns = np.flatnonzero(products_n >= np.float32(_at_most_kth(products_n, k) - slack))
    if len(columns) <= k:
        return columns
    values = products_n[columns]
    return columns[values >= np.float32(_kth(values, k) - slack)]


def _at_most_kth(products_n: NDArray[np.float32], k: int) -> np.float32:
    """A value that at least ``k`` products reach, near the k-th largest.

    It is the k-th largest of the maxima of disjoint groups: as many groups have a product that large. Maxima
    over strided groups are a vectorised pass, several times faster than partitioning everything.
    """
    num_groups = _GROUPS * k
    size = len(products_n) // num_groups
    if size < _LEAST_GROUP:
        return _kth(products_n, k)
    return _kth(products_n[: num_groups * size].reshape(size, num_groups).max(axis=0), k)


def _kth(values: NDArray[np.float32], k: int) -> np.float32:
    kth: np.float32 = np.partition(values, len(values) - k)[len(values) - k]
    return kth
