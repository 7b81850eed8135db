"""A grid over each area that two tiles share, a strip, as inline kernels for merge.pyx.

Most strips are long and no wider than a few boxes. So their cells are short pieces of wide lanes along the longer side,
numbered one after the other: a window costs one look a lane, and most strips have a single one.
"""

from places cimport Places, put, reserve


cdef struct Strips:
    const double* areas   # (count, 4) left, top, right, bottom
    Py_ssize_t count
    double pieces_a_pixel
    double lanes_a_pixel
    int* first            # (count + 1,) where the cells of a strip begin
    int* pieces           # (count,) how many a lane of it has
    Places cells


cdef inline int long_side(const double* area) noexcept nogil:
    """Return 0 if lanes run from left to right, 1 if they run from top to bottom."""
    return area[3] - area[1] > area[2] - area[0]


cdef inline int cell_along(const double* area, int side, double at, double cells_a_pixel) noexcept nogil:
    return <int>((min(max(at, area[side]), area[side + 2]) - area[side]) * cells_a_pixel)


cdef inline int piece(const Strips* strips, int strip, double at) noexcept nogil:
    """Return the piece of a lane where a position along the strip's longer side lies, or the nearest."""
    cdef const double* area = strips.areas + 4 * strip
    return cell_along(area, long_side(area), at, strips.pieces_a_pixel)


cdef inline int lane(const Strips* strips, int strip, double at) noexcept nogil:
    """Return the lane where a position along the strip's shorter side lies, or the nearest."""
    cdef const double* area = strips.areas + 4 * strip
    return cell_along(area, 1 - long_side(area), at, strips.lanes_a_pixel)


cdef inline int first_cell(const Strips* strips, int strip, int lane) noexcept nogil:
    """Return the first cell of a lane; the others follow."""
    return strips.first[strip] + lane * strips.pieces[strip]


cdef inline Py_ssize_t number_cells(Strips* strips) noexcept nogil:
    """Write where each strip's cells begin; return how many there are."""
    cdef int s, along, lanes
    strips.first[0] = 0
    for s in range(strips.count):
        along = long_side(strips.areas + 4 * s)
        strips.pieces[s] = piece(strips, s, strips.areas[4 * s + 2 + along]) + 1
        lanes = lane(strips, s, strips.areas[4 * s + 3 - along]) + 1
        strips.first[s + 1] = strips.first[s] + lanes * strips.pieces[s]
    return strips.first[strips.count]


cdef inline void lay_out_strips(Strips* strips, int* room, Py_ssize_t n, double length, double width) noexcept nogil:
    """Prepare for n boxes. Pieces are `length` long and lanes `width` wide at least; `room` holds 4 n + 3 count + 3."""
    cdef Py_ssize_t cells
    strips.first, strips.pieces = room, room + strips.count + 1
    strips.pieces_a_pixel, strips.lanes_a_pixel = 1 / length, 1 / width
    cells = number_cells(strips)
    while cells > 2 * n + strips.count:
        strips.pieces_a_pixel /= 2
        strips.lanes_a_pixel /= 2
        cells = number_cells(strips)
    reserve(&strips.cells, strips.pieces + strips.count, cells, n)


cdef inline void put_box(Strips* strips, Py_ssize_t i, int strip, const double* box) noexcept nogil:
    """Say in which strip the left top corner of box i lies."""
    cdef int along = long_side(strips.areas + 4 * strip)
    cdef int first = first_cell(strips, strip, lane(strips, strip, box[1 - along]))
    put(&strips.cells, i, first + piece(strips, strip, box[along]))
