"""Merging what overlapping tiles saw of the same objects; the rules are in native/reference/merge.py.

All functions take N boxes in canonical order (surest first) and `by_left`, the order of their left sides, which lets a
sweep visit only boxes that can overlap.
"""

cdef enum:
    LEFT = 0
    TOP = 1
    RIGHT = 2
    BOTTOM = 3


cdef inline double overlap(const double* a, const double* b) noexcept nogil:
    """Return the area two boxes share."""
    cdef double w = min(a[RIGHT], b[RIGHT]) - max(a[LEFT], b[LEFT])
    cdef double h = min(a[BOTTOM], b[BOTTOM]) - max(a[TOP], b[TOP])
    return w * h if w > 0 and h > 0 else 0


cdef inline double area(const double* a) noexcept nogil:
    return (a[RIGHT] - a[LEFT]) * (a[BOTTOM] - a[TOP])


cdef inline Py_ssize_t first_from(
    const double[:, ::1] boxes, const int[::1] by_left, double left,
) noexcept nogil:
    """Return the first place in `by_left` whose box starts at `left` or further right."""
    cdef Py_ssize_t low = 0, high = by_left.shape[0], middle
    while low < high:
        middle = (low + high) // 2
        if boxes[by_left[middle], LEFT] < left:
            low = middle + 1
        else:
            high = middle
    return low


def suppress(
    const double[:, ::1] boxes, const int[::1] label, const short[::1] tile, const int[::1] by_left,
    double widest, double threshold, bint agnostic, unsigned char[::1] keep,
):
    cdef Py_ssize_t n = boxes.shape[0], i, j, at
    cdef double shared
    with nogil:
        for i in range(n):
            if not keep[i]:
                continue
            at = first_from(boxes, by_left, boxes[i, LEFT] - widest)
            while at < n:
                j = by_left[at]
                at += 1
                if boxes[j, LEFT] >= boxes[i, RIGHT]:
                    break
                if j <= i or not keep[j] or tile[j] != tile[i] or (not agnostic and label[j] != label[i]):
                    continue
                shared = overlap(&boxes[i, 0], &boxes[j, 0])
                if shared > threshold * (area(&boxes[i, 0]) + area(&boxes[j, 0]) - shared):
                    keep[j] = 0


cdef inline double likeness(
    const double* a, const double* b, const double* first, const double* second, double strip,
) noexcept nogil:
    """Return the IoU of two boxes clipped to the common area of their tiles; 0 where that says nothing."""
    cdef double common[4]
    cdef double p[4]
    cdef double q[4]
    cdef double shared
    common[LEFT], common[TOP] = max(first[LEFT], second[LEFT]), max(first[TOP], second[TOP])
    common[RIGHT], common[BOTTOM] = min(first[RIGHT], second[RIGHT]), min(first[BOTTOM], second[BOTTOM])
    p[LEFT], p[TOP] = max(a[LEFT], common[LEFT]), max(a[TOP], common[TOP])
    p[RIGHT], p[BOTTOM] = min(a[RIGHT], common[RIGHT]), min(a[BOTTOM], common[BOTTOM])
    q[LEFT], q[TOP] = max(b[LEFT], common[LEFT]), max(b[TOP], common[TOP])
    q[RIGHT], q[BOTTOM] = min(b[RIGHT], common[RIGHT]), min(b[BOTTOM], common[BOTTOM])
    if p[RIGHT] - p[LEFT] <= strip or p[BOTTOM] - p[TOP] <= strip:
        return 0
    if q[RIGHT] - q[LEFT] <= strip or q[BOTTOM] - q[TOP] <= strip:
        return 0
    shared = overlap(p, q)
    return shared / (area(p) + area(q) - shared)


def link(
    const double[:, ::1] boxes, const int[::1] label, const short[::1] tile, const unsigned char[::1] cuts,
    const int[::1] by_left, double widest, const double[:, ::1] rects, double strip, double same, double other,
    double discount, bint agnostic, int[:, ::1] pairs, double[::1] weight,
):
    """Write the links between boxes of different tiles and return how many there are, also beyond the room given."""
    cdef Py_ssize_t n = boxes.shape[0], room = pairs.shape[0], found = 0, i, j, at
    cdef double value
    with nogil:
        for i in range(n):
            at = first_from(boxes, by_left, boxes[i, LEFT] - widest)
            while at < n:
                j = by_left[at]
                at += 1
                if boxes[j, LEFT] >= boxes[i, RIGHT]:
                    break
                if j <= i or tile[j] == tile[i]:
                    continue
                if boxes[j, TOP] >= boxes[i, BOTTOM] or boxes[i, TOP] >= boxes[j, BOTTOM]:
                    continue
                if boxes[j, RIGHT] <= boxes[i, LEFT]:
                    continue
                value = likeness(&boxes[i, 0], &boxes[j, 0], &rects[tile[i], 0], &rects[tile[j], 0], strip)
                if not agnostic and label[i] != label[j]:
                    value = value * discount if value >= other and (cuts[i] or cuts[j]) else 0
                if value < same:
                    continue
                if found < room:
                    pairs[found, 0], pairs[found, 1], weight[found] = i, j, value
                found += 1
    return found


cdef inline int root(int[::1] parent, int i) noexcept nogil:
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


def group(const int[:, ::1] pairs, unsigned long long[:, ::1] seen, int[::1] parent):
    """Join linked boxes, best link first, as long as no group gets two boxes of one tile.

    `seen` has one bit for every tile a group has a box of; `parent` ends as the group of every box.
    """
    cdef Py_ssize_t m = pairs.shape[0], words = seen.shape[1], n = parent.shape[0], e, w
    cdef int a, b, i
    cdef bint clash
    with nogil:
        for e in range(m):
            a, b = root(parent, pairs[e, 0]), root(parent, pairs[e, 1])
            if a == b:
                continue
            clash = False
            for w in range(words):
                clash = clash or (seen[a, w] & seen[b, w]) != 0
            if clash:
                continue
            if b < a:
                a, b = b, a
            parent[b] = a
            for w in range(words):
                seen[a, w] |= seen[b, w]
        for i in range(n):
            parent[i] = root(parent, i)


def fuse(
    const double[:, ::1] boxes, const double[::1] score, const double[::1] trust, const unsigned char[:, ::1] cut,
    const unsigned char[::1] cuts, const int[::1] parent, double[:, ::1] total, double[:, ::1] weight,
    int[::1] best, double[::1] highest, double[:, ::1] fused,
):
    """Rebuild one box a group in the row of its first member; `weight` is 0 where a side was cut in every member."""
    cdef Py_ssize_t n = boxes.shape[0], i, g, s
    with nogil:
        for i in range(n):
            g = parent[i]
            if best[g] < 0 or cuts[i] < cuts[best[g]] or (cuts[i] == cuts[best[g]] and score[i] > score[best[g]]):
                best[g] = i
            highest[g] = max(highest[g], score[i])
            for s in range(4):
                if not cut[i, s]:
                    total[g, s] += trust[i] * boxes[i, s]
                    weight[g, s] += trust[i]
                if g == i:
                    fused[g, s] = boxes[i, s]
                elif s < 2:
                    fused[g, s] = min(fused[g, s], boxes[i, s])
                else:
                    fused[g, s] = max(fused[g, s], boxes[i, s])
        for g in range(n):
            if parent[g] != g:
                continue
            for s in range(4):
                if weight[g, s] > 0:
                    fused[g, s] = total[g, s] / weight[g, s]


def explain(
    const double[:, ::1] boxes, const int[::1] label, const int[::1] fragment_tile,
    const unsigned long long[:, ::1] seen, const double[:, ::1] rects, double contained, double shown,
    unsigned char[::1] keep,
):
    """Clear `keep` of every fragment (fragment_tile >= 0) that a group without a box of its tile explains."""
    cdef Py_ssize_t n = boxes.shape[0], f, o
    cdef int t
    cdef double size, shared, visible
    with nogil:
        for f in range(n):
            t = fragment_tile[f]
            if t < 0:
                continue
            size = area(&boxes[f, 0])
            for o in range(n):
                if o == f or not keep[o] or label[o] != label[f] or (seen[o, t >> 6] >> (t & 63)) & 1:
                    continue
                shared = overlap(&boxes[f, 0], &boxes[o, 0])
                if shared < contained * size or area(&boxes[o, 0]) < size:
                    continue
                visible = overlap(&boxes[o, 0], &rects[t, 0])
                if visible > 0 and shared >= shown * visible:
                    keep[f] = 0
                    break
