"""A grid that finds the points of one kind near a place, as inline kernels for merge.pyx.

A row of cells of one kind lies in one piece at a place that a hash of kind and row gives, so that a window costs one
look a row. Places are shared by chance: whoever reads them checks what he finds.
"""

from places cimport Places, put, reserve

from libc.math cimport fabs

ctypedef unsigned long long Kind


cdef struct Grid:
    double left       # where the first column and row begin
    double top
    double columns_a_pixel
    double rows_a_pixel
    double last_column
    double last_row
    int shift         # makes a place of a 64-bit hash
    Places places


cdef inline Py_ssize_t power_of_two(Py_ssize_t least, int* shift) noexcept nogil:
    """Return one that is as large at least, and what leaves so many bits of a 64-bit hash."""
    cdef Py_ssize_t size = 16
    shift[0] = 60
    while size < least:
        size *= 2
        shift[0] -= 1
    return size


cdef inline void lay_out(
    Grid* grid, int* room, Py_ssize_t n, double left, double top, double span, double width,
    double height,
) noexcept nogil:
    """Prepare for n points that lie `span` from left and top at most. `room` holds 9 n + 64.

    Cells are `width` wide at least, and `height` high: a window had better take many columns, which are one piece, than
    many rows.
    """
    cdef Py_ssize_t size = power_of_two(2 * n, &grid.shift)
    width = max(width, 2 * span / (size - 2))
    grid.left, grid.top = left, top
    grid.columns_a_pixel, grid.rows_a_pixel = 1 / width, 1 / max(height, width)
    grid.last_column, grid.last_row = <int>(span * grid.columns_a_pixel), <int>(span * grid.rows_a_pixel)
    reserve(&grid.places, room, size + <int>grid.last_column + 1, n)


cdef inline double positive(double value) noexcept nogil:
    """Return max(value, 0) without a branch that nobody can foresee."""
    return (value + fabs(value)) * 0.5


cdef inline int column(const Grid* grid, double x) noexcept nogil:
    return <int>min(positive((x - grid.left) * grid.columns_a_pixel), grid.last_column)


cdef inline int row(const Grid* grid, double y) noexcept nogil:
    return <int>min(positive((y - grid.top) * grid.rows_a_pixel), grid.last_row)


cdef inline Py_ssize_t hashed(Kind kind, int row, int shift) noexcept nogil:
    return (kind * 0x9E3779B97F4A7C15u + <Kind>row * 0xC2B2AE3D27D4EB4Fu) >> shift


cdef inline Py_ssize_t first_place(const Grid* grid, Kind kind, int row) noexcept nogil:
    """Return the place of the first cell of a row; the others follow."""
    return hashed(kind, row, grid.shift)


cdef inline void put_point(Grid* grid, Py_ssize_t i, Kind kind, double x, double y) noexcept nogil:
    """Say where point i lies."""
    put(&grid.places, i, first_place(grid, kind, row(grid, y)) + column(grid, x))
