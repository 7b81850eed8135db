"""Drawing on the planes of a 4:2:0 picture, in place; the rules are in native/reference/draw.py."""

from libc.math cimport ceil, floor, sqrt


cdef inline unsigned char mixed(int under, int colour, int cover) noexcept nogil:
    return <unsigned char>((under * (255 - cover) + colour * cover + 127) // 255)


cdef inline int even_edge(int edge, int limit) noexcept nogil:
    """Return an edge that ends on the frame's odd last column moved to the end of its block of chroma."""
    return edge + (edge & 1) if edge == limit else edge


cdef void fill_luma(
    unsigned char[:, :] plane, int x0, int y0, int x1, int y1, int colour, int cover,
) noexcept nogil:
    cdef int x, y
    cdef unsigned char* row
    for y in range(y0, y1):
        row = &plane[y, 0]
        for x in range(x0, x1):
            row[x] = mixed(row[x], colour, cover)


cdef void fill_chroma(
    unsigned char[:, :] u, unsigned char[:, :] v, int x0, int y0, int x1, int y1, int first, int second, int alpha,
) noexcept nogil:
    cdef int x, y, wide, high, cover
    for y in range(y0 >> 1, (y1 + 1) >> 1):
        high = min(y1, 2 * y + 2) - max(y0, 2 * y)
        for x in range(x0 >> 1, (x1 + 1) >> 1):
            wide = min(x1, 2 * x + 2) - max(x0, 2 * x)
            cover = (alpha * wide * high + 2) >> 2
            u[y, x] = mixed(u[y, x], first, cover)
            v[y, x] = mixed(v[y, x], second, cover)


cdef void fill_one(
    unsigned char[:, :] y, unsigned char[:, :] u, unsigned char[:, :] v, const int* rect,
    const unsigned char* colour, int alpha,
) noexcept nogil:
    cdef int width = <int>y.shape[1], height = <int>y.shape[0]
    cdef int x0 = max(rect[0], 0), y0 = max(rect[1], 0), x1 = min(rect[2], width), y1 = min(rect[3], height)
    if x1 <= x0 or y1 <= y0:
        return
    fill_luma(y, x0, y0, x1, y1, colour[0], alpha)
    x1, y1 = even_edge(x1, width), even_edge(y1, height)
    fill_chroma(u, v, x0, y0, x1, y1, colour[1], colour[2], alpha)


def fill(
    unsigned char[:, :] y, unsigned char[:, :] u, unsigned char[:, :] v, const int[:, ::1] rects,
    const unsigned char[:, ::1] colours, int alpha,
):
    cdef Py_ssize_t i
    with nogil:
        for i in range(rects.shape[0]):
            fill_one(y, u, v, &rects[i, 0], &colours[i, 0], alpha)


cdef inline int glyph_cover(const unsigned char[:, :, ::1] atlas, int g, int x, int y) noexcept nogil:
    return atlas[g, y, x] if 0 <= x < atlas.shape[2] and 0 <= y < atlas.shape[1] else 0


cdef void stamp_one(
    unsigned char[:, :] y, unsigned char[:, :] u, unsigned char[:, :] v, const unsigned char[:, :, ::1] atlas, int g,
    int left, int top, const unsigned char* colour,
) noexcept nogil:
    cdef int width = <int>y.shape[1], height = <int>y.shape[0]
    cdef int x0 = max(left, 0), y0 = max(top, 0)
    cdef int x1 = min(left + <int>atlas.shape[2], width), y1 = min(top + <int>atlas.shape[1], height), px, py, cover
    if x1 <= x0 or y1 <= y0:
        return
    for py in range(y0, y1):
        for px in range(x0, x1):
            cover = atlas[g, py - top, px - left]
            if cover:
                y[py, px] = mixed(y[py, px], colour[0], cover)
    for py in range(y0 >> 1, (y1 + 1) >> 1):
        for px in range(x0 >> 1, (x1 + 1) >> 1):
            cover = glyph_cover(atlas, g, 2 * px - left, 2 * py - top)
            cover += glyph_cover(atlas, g, 2 * px + 1 - left, 2 * py - top)
            cover += glyph_cover(atlas, g, 2 * px - left, 2 * py + 1 - top)
            cover += glyph_cover(atlas, g, 2 * px + 1 - left, 2 * py + 1 - top)
            cover = (cover + 2) >> 2
            if cover:
                u[py, px] = mixed(u[py, px], colour[1], cover)
                v[py, px] = mixed(v[py, px], colour[2], cover)


def label(
    unsigned char[:, :] y, unsigned char[:, :] u, unsigned char[:, :] v, const int[:, ::1] plates,
    const unsigned char[:, ::1] colours, int alpha, const unsigned char[:, :, ::1] atlas, const int[::1] first,
    const int[::1] glyphs, const int[:, ::1] places, const unsigned char[:, ::1] inks,
):
    cdef Py_ssize_t i, k
    with nogil:
        for i in range(plates.shape[0]):
            fill_one(y, u, v, &plates[i, 0], &colours[i, 0], alpha)
            for k in range(first[i], first[i + 1]):
                stamp_one(y, u, v, atlas, glyphs[k], places[k, 0], places[k, 1], &inks[i, 0])


cdef inline int stroke_cover(const float* s, double radius, double x, double y) noexcept nogil:
    """Return how much of the pixel whose centre is (x, y) lies within `radius` of a segment, 0 to 255."""
    cdef double dx = <double>s[2] - s[0], dy = <double>s[3] - s[1], length = dx * dx + dy * dy, t = 0, cover
    if length > 0:
        t = ((x - s[0]) * dx + (y - s[1]) * dy) / length
        t = min(max(t, 0.0), 1.0)
    dx, dy = x - (s[0] + t * dx), y - (s[1] + t * dy)
    cover = radius + 0.5 - sqrt(dx * dx + dy * dy)
    return <int>(255 * min(max(cover, 0.0), 1.0) + 0.5)


cdef void stroke_one(
    unsigned char[:, :] y, unsigned char[:, :] u, unsigned char[:, :] v, const float* s, double radius,
    const unsigned char* colour,
) noexcept nogil:
    cdef double reach = radius + 0.5
    cdef int x0 = <int>max(floor(min(s[0], s[2]) - reach), 0.0), y0 = <int>max(floor(min(s[1], s[3]) - reach), 0.0)
    cdef int x1 = <int>min(ceil(max(s[0], s[2]) + reach), <double>y.shape[1])
    cdef int y1 = <int>min(ceil(max(s[1], s[3]) + reach), <double>y.shape[0])
    cdef int px, py, cover
    if x1 <= x0 or y1 <= y0:
        return
    for py in range(y0, y1):
        for px in range(x0, x1):
            cover = stroke_cover(s, radius, px + 0.5, py + 0.5)
            if cover:
                y[py, px] = mixed(y[py, px], colour[0], cover)
    for py in range(y0 >> 1, (y1 + 1) >> 1):
        for px in range(x0 >> 1, (x1 + 1) >> 1):
            cover = stroke_cover(s, radius, 2 * px + 1, 2 * py + 1)
            if cover:
                u[py, px] = mixed(u[py, px], colour[1], cover)
                v[py, px] = mixed(v[py, px], colour[2], cover)


def stroke(
    unsigned char[:, :] y, unsigned char[:, :] u, unsigned char[:, :] v, const float[:, ::1] segments, double radius,
    const unsigned char[:, ::1] colours,
):
    cdef Py_ssize_t i
    with nogil:
        for i in range(segments.shape[0]):
            stroke_one(y, u, v, &segments[i, 0], radius, &colours[i, 0])
