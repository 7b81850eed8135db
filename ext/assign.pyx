"""Sparse optimal assignment; the kernel is in assign.pxd."""

cimport assign as kernel


def assign(
    const int[::1] first, const int[::1] column, const double[::1] cost, double limit,
    int[::1] row_to_col, int[::1] ints, double[::1] reals, int cols,
):
    cdef int rows = row_to_col.shape[0]
    if rows == 0:
        return
    with nogil:
        kernel.assign(
            rows, cols, &first[0], &column[0] if column.shape[0] else NULL, &cost[0] if cost.shape[0] else NULL, limit,
            &row_to_col[0], &ints[0], &reals[0],
        )
