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
    double cells_a_pixel
    double last       # column, and row
    int shift         # makes a place of a 64-bit hash
    Py_ssize_t places
    int* start        # (places + 1,) where the items of a place begin
    int* place        # (n,) of every point, or NOWHERE
    int* item         # (n,) points, by place and then as they came


cdef inline void lay_out(
    Grid* grid, int* room, Py_ssize_t n, double left, double top, double span, double cell,
) noexcept nogil:
    """Prepare for n points that lie `span` from left and top at most. `room` holds 5 n + 64."""
    cdef Py_ssize_t size = 16
    grid.shift = 60
    while size < n:
        size *= 2
        grid.shift -= 1
    cell = max(cell, 2 * span / (size - 2))
    grid.left, grid.top, grid.cells_a_pixel = left, top, 1 / cell if cell > 0 else 0
    grid.last = <int>(span * grid.cells_a_pixel)
    grid.places = size + <int>grid.last + 1
    grid.start, grid.place, grid.item = room, room + grid.places + 1, room + grid.places + 1 + n
    memset(grid.start, 0, (grid.places + 1) * sizeof(int))


cdef inline int cell_of(const Grid* grid, double beyond) noexcept nogil:
    """Return the column or row of a distance from the grid's left or top."""
    beyond *= grid.cells_a_pixel
    return <int>min((beyond + fabs(beyond)) * 0.5, grid.last)  # max(beyond, 0) without a branch


cdef inline int column(const Grid* grid, double x) noexcept nogil:
    return cell_of(grid, x - grid.left)


cdef inline int row(const Grid* grid, double y) noexcept nogil:
    return cell_of(grid, y - grid.top)


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
