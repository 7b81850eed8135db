"""Optimal assignment over a sparse list of allowed pairs, as an inline kernel for assign.pyx and bytetrack.pyx."""

from libc.math cimport INFINITY


cdef inline void assign(
    int rows, int cols, const int* first, const int* column, const double* cost, double limit,
    int* row_to_col, int* ints, double* reals,
) noexcept nogil:
    """Match rows to columns so that the sum of (limit - cost) over the matched pairs is largest.

    Successive shortest augmenting paths with potentials (Jonker and Volgenant 1987; Crouse 2016), where every row also
    owns a private column of cost `limit` that means 'unmatched'. A search only ever walks the pairs of its own
    connected component, so components are solved one by one without being named.

    Pairs of row r are first[r] to first[r + 1]. `ints` has room for 4 * cols + rows, `reals` for rows + 2 * cols.
    Unmatched rows get -1. Equal optima are decided by the order of rows and pairs.
    """
    cdef int* col_to_row = ints
    cdef int* path = ints + cols
    cdef int* seen = ints + 2 * cols          # columns reached in this search, in order
    cdef int* state = ints + 3 * cols         # 0 not reached, 1 reached, 2 settled
    cdef int* visited = ints + 4 * cols       # rows of this search
    cdef double* u = reals
    cdef double* v = reals + rows
    cdef double* distance = reals + rows + cols
    cdef int r, i, j, e, s, at, n_seen, n_visited, end_row, sink
    cdef double lowest, d, end
    for j in range(cols):
        col_to_row[j], state[j], v[j] = -1, 0, 0
    for r in range(rows):
        row_to_col[r], u[r] = -1, 0
    for r in range(rows):
        i, lowest, end, end_row, sink, n_seen, n_visited = r, 0, INFINITY, r, -1, 0, 0
        while True:
            visited[n_visited] = i
            n_visited += 1
            d = lowest + limit - u[i]
            if d < end:
                end, end_row = d, i
            for e in range(first[i], first[i + 1]):
                j = column[e]
                if state[j] == 2:
                    continue
                d = lowest + cost[e] - u[i] - v[j]
                if state[j] == 0:
                    state[j], distance[j], path[j] = 1, d, i
                    seen[n_seen] = j
                    n_seen += 1
                elif d < distance[j]:
                    distance[j], path[j] = d, i
            at = -1
            for s in range(n_seen):
                j = seen[s]
                if state[j] == 1 and (at < 0 or distance[j] < distance[at]):
                    at = j
            if at < 0 or end <= distance[at]:
                lowest = end
                break
            lowest, state[at] = distance[at], 2
            if col_to_row[at] < 0:
                sink = at
                break
            i = col_to_row[at]
        u[r] += lowest
        for s in range(1, n_visited):
            i = visited[s]
            u[i] += lowest - distance[row_to_col[i]]
        for s in range(n_seen):
            j = seen[s]
            if state[j] == 2:
                v[j] -= lowest - distance[j]
            state[j] = 0
        if sink < 0:                          # the row that is best left alone frees its column
            i, sink = end_row, row_to_col[end_row]
            row_to_col[i] = -1
            if i == r:
                continue
        while True:
            i = path[sink]
            col_to_row[sink] = i
            j, row_to_col[i] = row_to_col[i], sink
            if i == r:
                break
            sink = j
