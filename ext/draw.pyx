"""Drawing on the planes of a 4:2:0 picture, in place; the rules are in native/reference/draw.py.

The rows of all planes are contiguous (the facade checks it): a row is a pointer, and a span of it one plain loop.
"""

from libc.math cimport ceil, floor, sqrt


cdef inline unsigned char mixed(int under, int colour, int cover) noexcept nogil:
    """Return (under * (255 - cover) + colour * cover + 127) // 255 without a division, exact for all bytes."""
    cdef unsigned short sum = <unsigned short>(under * (255 - cover) + colour * cover + 127)
    return <unsigned char>(<unsigned short>(sum + 1 + (sum >> 8)) >> 8)


cdef inline void span(unsigned char* row, Py_ssize_t begin, Py_ssize_t end, int colour, int cover) noexcept nogil:
    cdef Py_ssize_t x
    for x in range(begin, end):
        row[x] = mixed(row[x], colour, cover)


cdef inline int even_edge(int edge, int limit) noexcept nogil:
    """Return an edge that ends on the frame's odd last column moved to the end of its block of chroma."""
    return edge + (edge & 1) if edge == limit else edge


cdef void fill_chroma(
    unsigned char[:, :] plane, int x0, int y0, int x1, int y1, int colour, int alpha,
) noexcept nogil:
    """Blend a rectangle of luma pixels into chroma: whole blocks, and the halves at an odd left or right."""
    cdef int y, high, left = (x0 + 1) >> 1, right = x1 >> 1
    cdef unsigned char* row
    for y in range(y0 >> 1, (y1 + 1) >> 1):
        high = min(y1, 2 * y + 2) - max(y0, 2 * y)
        row = &plane[y, 0]
        span(row, left, right, colour, (2 * alpha * high + 2) >> 2)
        if x0 & 1:
            span(row, left - 1, left, colour, (alpha * high + 2) >> 2)
        if x1 & 1:
            span(row, right, right + 1, colour, (alpha * high + 2) >> 2)


cdef void fill_one(
    unsigned char[:, :] y, unsigned char[:, :] u, unsigned char[:, :] v, const int* rect,
    const unsigned char* colour, int alpha,
) noexcept nogil:
    cdef int width = <int>y.shape[1], height = <int>y.shape[0], row
    cdef int x0 = max(rect[0], 0), y0 = max(rect[1], 0), x1 = min(rect[2], width), y1 = min(rect[3], height)
    if x1 <= x0 or y1 <= y0:
        return
    for row in range(y0, y1):
        span(&y[row, 0], x0, x1, colour[0], alpha)
    x1, y1 = even_edge(x1, width), even_edge(y1, height)
    fill_chroma(u, x0, y0, x1, y1, colour[1], alpha)
    fill_chroma(v, x0, y0, x1, y1, colour[2], alpha)


def fill(
    unsigned char[:, :] y, unsigned char[:, :] u, unsigned char[:, :] v, const int[:, ::1] rects,
    const unsigned char[:, ::1] colours, int alpha,
):
    cdef Py_ssize_t i
    with nogil:
        for i in range(rects.shape[0]):
            fill_one(y, u, v, &rects[i, 0], &colours[i, 0], alpha)


cdef struct Glyph:
    const unsigned char* mask
    Py_ssize_t row
    int wide, high, left, top


cdef inline int two_across(const Glyph* glyph, int x, int y) noexcept nogil:
    """Return the coverage of glyph pixels (x, y) and (x + 1, y), 0 for each that lies outside."""
    cdef const unsigned char* row
    if y < 0 or y >= glyph.high:
        return 0
    row = glyph.mask + y * glyph.row
    return (row[x] if 0 <= x < glyph.wide else 0) + (row[x + 1] if 0 <= x + 1 < glyph.wide else 0)


cdef void stamp_luma(
    unsigned char[:, :] plane, const Glyph* glyph, int x0, int y0, int x1, int y1, int colour,
) noexcept nogil:
    cdef Py_ssize_t x, offset = glyph.left
    cdef int y
    cdef unsigned char* row
    cdef const unsigned char* mask
    for y in range(y0, y1):
        row, mask = &plane[y, 0], glyph.mask + (y - glyph.top) * glyph.row
        for x in range(x0, x1):
            row[x] = mixed(row[x], colour, mask[x - offset])


cdef void stamp_chroma(
    unsigned char[:, :] u, unsigned char[:, :] v, const Glyph* glyph, int x0, int y0, int x1, int y1,
    const unsigned char* colour,
) noexcept nogil:
    cdef Py_ssize_t x
    cdef int y, cover, upper
    cdef unsigned char* first
    cdef unsigned char* second
    for y in range(y0 >> 1, (y1 + 1) >> 1):
        first, second, upper = &u[y, 0], &v[y, 0], 2 * y - glyph.top
        for x in range(x0 >> 1, (x1 + 1) >> 1):
            cover = two_across(glyph, <int>(2 * x) - glyph.left, upper)
            cover = (cover + two_across(glyph, <int>(2 * x) - glyph.left, upper + 1) + 2) >> 2
            if cover:
                first[x] = mixed(first[x], colour[1], cover)
                second[x] = mixed(second[x], colour[2], cover)


cdef void stamp_one(
    unsigned char[:, :] y, unsigned char[:, :] u, unsigned char[:, :] v, const Glyph* glyph,
    const unsigned char* colour,
) noexcept nogil:
    cdef int x0 = max(glyph.left, 0), y0 = max(glyph.top, 0)
    cdef int x1 = min(glyph.left + glyph.wide, <int>y.shape[1]), y1 = min(glyph.top + glyph.high, <int>y.shape[0])
    if x1 <= x0 or y1 <= y0:
        return
    stamp_luma(y, glyph, x0, y0, x1, y1, colour[0])
    stamp_chroma(u, v, glyph, x0, y0, x1, y1, colour)


def label(
    unsigned char[:, :] y, unsigned char[:, :] u, unsigned char[:, :] v, const int[:, ::1] plates,
    const unsigned char[:, ::1] colours, int alpha, const unsigned char[:, :, ::1] atlas, const int[:, ::1] boxes,
    const int[::1] first, const int[::1] glyphs, const int[:, ::1] places, const unsigned char[:, ::1] inks,
):
    cdef Py_ssize_t i, k
    cdef int g
    cdef Glyph glyph
    glyph.row = atlas.shape[2]
    with nogil:
        for i in range(plates.shape[0]):
            fill_one(y, u, v, &plates[i, 0], &colours[i, 0], alpha)
            for k in range(first[i], first[i + 1]):
                g = glyphs[k]
                glyph.wide, glyph.high = boxes[g, 2] - boxes[g, 0], boxes[g, 3] - boxes[g, 1]
                if glyph.wide <= 0 or glyph.high <= 0:
                    continue
                glyph.mask = &atlas[g, boxes[g, 1], boxes[g, 0]]
                glyph.left, glyph.top = places[k, 0] + boxes[g, 0], places[k, 1] + boxes[g, 1]
                stamp_one(y, u, v, &glyph, &inks[i, 0])


cdef struct Line:
    double x, y, dx, dy, length, radius


cdef inline int line_cover(const Line* line, double x, double y) noexcept nogil:
    """Return how much of the pixel whose centre is (x, y) lies within the radius of a segment, 0 to 255."""
    cdef double t = 0, dx, dy, cover
    if line.length > 0:
        t = min(max(((x - line.x) * line.dx + (y - line.y) * line.dy) / line.length, 0.0), 1.0)
    dx, dy = x - (line.x + t * line.dx), y - (line.y + t * line.dy)
    cover = line.radius + 0.5 - sqrt(dx * dx + dy * dy)
    return <int>(255 * min(max(cover, 0.0), 1.0) + 0.5)


cdef void line_reach(const Line* line, double y, int limit, int* begin, int* end) noexcept nogil:
    """Find the luma columns that a line can touch in a row whose centre is `y`: a long slope is not its whole box."""
    cdef double reach = line.radius + 0.5, near = 0, far = 1, swap
    if line.dy != 0:
        near, far = (y - reach - line.y) / line.dy, (y + reach - line.y) / line.dy
        if near > far:
            swap = near
            near, far = far, swap
        near, far = min(max(near, 0.0), 1.0), min(max(far, 0.0), 1.0)
    near, far = line.x + near * line.dx, line.x + far * line.dx
    begin[0] = <int>min(max(floor(min(near, far) - reach), 0.0), <double>limit)
    end[0] = <int>min(max(ceil(max(near, far) + reach), 0.0), <double>limit)


cdef void stroke_luma(unsigned char[:, :] plane, const Line* line, int y0, int y1, int colour) noexcept nogil:
    cdef int x, y, begin, end
    cdef unsigned char* row
    for y in range(y0, y1):
        line_reach(line, y + 0.5, <int>plane.shape[1], &begin, &end)
        row = &plane[y, 0]
        for x in range(begin, end):
            row[x] = mixed(row[x], colour, line_cover(line, x + 0.5, y + 0.5))


cdef void stroke_chroma(
    unsigned char[:, :] u, unsigned char[:, :] v, const Line* line, int y0, int y1, const unsigned char* colour,
) noexcept nogil:
    cdef int x, y, begin, end, cover
    for y in range(y0 >> 1, (y1 + 1) >> 1):
        line_reach(line, 2 * y + 1, 2 * <int>u.shape[1], &begin, &end)
        for x in range(begin >> 1, (end + 1) >> 1):
            cover = line_cover(line, 2 * x + 1, 2 * y + 1)
            u[y, x], v[y, x] = mixed(u[y, x], colour[1], cover), mixed(v[y, x], colour[2], cover)


cdef void stroke_one(
    unsigned char[:, :] y, unsigned char[:, :] u, unsigned char[:, :] v, const float* s, double radius,
    const unsigned char* colour,
) noexcept nogil:
    cdef Line line
    cdef double reach = radius + 0.5
    cdef int y0 = <int>max(floor(min(s[1], s[3]) - reach), 0.0)
    cdef int y1 = <int>min(ceil(max(s[1], s[3]) + reach), <double>y.shape[0])
    line.x, line.y, line.radius = s[0], s[1], radius
    line.dx, line.dy = <double>s[2] - s[0], <double>s[3] - s[1]
    line.length = line.dx * line.dx + line.dy * line.dy
    if y1 > y0:
        stroke_luma(y, &line, y0, y1, colour[0])
        stroke_chroma(u, v, &line, y0, y1, colour)


def stroke(
    unsigned char[:, :] y, unsigned char[:, :] u, unsigned char[:, :] v, const float[:, ::1] segments, double radius,
    const unsigned char[:, ::1] colours,
):
    cdef Py_ssize_t i
    with nogil:
        for i in range(segments.shape[0]):
            stroke_one(y, u, v, &segments[i, 0], radius, &colours[i, 0])
