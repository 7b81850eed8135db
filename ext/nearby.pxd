"""A grid that finds the points of one kind near a place, as inline kernels for merge.pyx.

A row of cells of one kind lies in one piece at a place that a hash of kind and row gives, so that a window costs one
look a row. Places are shared by chance: whoever reads them checks what he finds.
"""

from libc.math cimport fabs
from libc.string cimport memset

ctypedef unsigned long long Kind

cdef enum:
    NOWHERE = -1


cdef struct Grid:
    double left       # where the first column and row begin
    double top
    double columns_a_pixel
    double rows_a_pixel
    double last_column
    double last_row
    int shift         # makes a place of a 64-bit hash
    Py_ssize_t places
    int* start        # (places + 1,) where the items of a place begin
    int* place        # (n,) of every point, or NOWHERE
    int* item         # (n,) points, by place and then as they came


cdef inline void lay_out(
    Grid* grid, int* room, Py_ssize_t n, double left, double top, double span, double width,
    double height,
) noexcept nogil:
    """Prepare for n points that lie `span` from left and top at most. `room` holds 9 n + 64.

    Cells are `width` wide at least, and `height` high: a window had better take many columns, which are one piece, than
    many rows.
    """
    cdef Py_ssize_t size = 16
    grid.shift = 60
    while size < 2 * n:
        size *= 2
        grid.shift -= 1
    width = max(width, 2 * span / (size - 2))
    grid.left, grid.top = left, top
    grid.columns_a_pixel, grid.rows_a_pixel = 1 / width, 1 / max(height, width)
    grid.last_column, grid.last_row = <int>(span * grid.columns_a_pixel), <int>(span * grid.rows_a_pixel)
    grid.places = size + <int>grid.last_column + 1
    grid.start, grid.place, grid.item = room, room + grid.places + 1, room + grid.places + 1 + n
    memset(grid.start, 0, (grid.places + 1) * sizeof(int))


cdef inline double positive(double value) noexcept nogil:
    """Return max(value, 0) without a branch that nobody can foresee."""
    return (value + fabs(value)) * 0.5


cdef inline int column(const Grid* grid, double x) noexcept nogil:
    return <int>min(positive((x - grid.left) * grid.columns_a_pixel), grid.last_column)


cdef inline int row(const Grid* grid, double y) noexcept nogil:
    return <int>min(positive((y - grid.top) * grid.rows_a_pixel), grid.last_row)


cdef inline Py_ssize_t first_place(const Grid* grid, Kind kind, int row) noexcept nogil:
    """Return the place of the first cell of a row; the others follow."""
    return (kind * 0x9E3779B97F4A7C15u + <Kind>row * 0xC2B2AE3D27D4EB4Fu) >> grid.shift


cdef inline void put(Grid* grid, Py_ssize_t i, Kind kind, double x, double y) noexcept nogil:
    """Say where point i lies."""
    cdef Py_ssize_t place = first_place(grid, kind, row(grid, y)) + column(grid, x)
    grid.place[i] = <int>place
    grid.start[place] += 1


cdef inline void settle(Grid* grid, Py_ssize_t n) noexcept nogil:
    """Sort the points into their places, once all are put (or their place is NOWHERE)."""
    cdef Py_ssize_t i, place
    for place in range(1, grid.places + 1):
        grid.start[place] += grid.start[place - 1]
    for i in range(n - 1, -1, -1):
        if grid.place[i] != NOWHERE:
            place = grid.place[i]
            grid.start[place] -= 1
            grid.item[grid.start[place]] = <int>i
