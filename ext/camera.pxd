"""How far the camera turned between two frames, told from boxes alone, as an inline kernel for bytetrack.pyx."""

from libc.stdlib cimport qsort

cdef extern from "boxes_simd.h" nogil:
    int tilewatch_votes(
        float x, float y, const float* xs, const float* ys, const float* reach, int depth, int tracks, int* hit
    ) noexcept


cdef struct Ballot:
    # What may have moved where: column t holds the shifts by which track t could have become one of the boxes.
    float* xs         # (depth, tracks)
    float* ys
    float* reach      # squared distance within which another shift is the same one; negative: no shift here
    int* votes        # (depth, tracks)
    int* filled       # (tracks,) shifts in each column
    int* hit          # (tracks,) scratch
    double* sample    # (depth * tracks,) scratch
    int depth
    int tracks


cdef inline int ascending(const void* a, const void* b) noexcept nogil:
    cdef double x = (<const double*>a)[0], y = (<const double*>b)[0]
    return (x > y) - (x < y)


cdef inline void collect(Ballot* b, const double* tracks, int n, const double* boxes, int m) noexcept nogil:
    """Fill in the shifts: boxes of similar height within 1.5 heights. Rows of both are centre x, centre y, height."""
    cdef int t, d, at
    cdef double x, y, h
    b.depth, b.tracks = 0, n
    for t in range(n):
        b.filled[t] = 0
        h = tracks[3 * t + 2]
        for d in range(m):
            x, y = boxes[3 * d] - tracks[3 * t], boxes[3 * d + 1] - tracks[3 * t + 1]
            if x * x + y * y >= 2.25 * h * h:
                continue
            if not (0.7788007830714049 * h < boxes[3 * d + 2] < 1.2840254166877414 * h):  # exp(-1/4), exp(1/4)
                continue
            if b.filled[t] == b.depth:
                for at in range(b.depth * n, (b.depth + 1) * n):
                    b.xs[at], b.ys[at], b.reach[at] = 0, 0, -1
                b.depth += 1
            at = b.filled[t] * n + t
            b.xs[at], b.ys[at], b.reach[at] = <float>x, <float>y, <float>(0.0064 * h * h)
            b.filled[t] += 1


cdef inline int elect(Ballot* b, int least) noexcept nogil:
    """Return the shift most tracks agree on, of the nearly best the smallest; -1: no clear one."""
    cdef int at, best = 0, zero, chosen = -1
    cdef float length, shortest = 0
    zero = tilewatch_votes(0, 0, b.xs, b.ys, b.reach, b.depth, b.tracks, b.hit)
    for at in range(b.depth * b.tracks):
        b.votes[at] = 0
        if b.reach[at] >= 0:
            b.votes[at] = tilewatch_votes(
                b.xs[at], b.ys[at], b.xs, b.ys, b.reach, b.depth, b.tracks, b.hit
            )
            best = max(best, b.votes[at])
    for at in range(b.depth * b.tracks):
        if b.reach[at] < 0 or b.votes[at] < 0.95 * best:
            continue
        length = b.xs[at] * b.xs[at] + b.ys[at] * b.ys[at]
        if chosen < 0 or length < shortest:
            chosen, shortest = at, length
    return chosen if chosen >= 0 and b.votes[chosen] >= least and b.votes[chosen] > zero else -1


cdef inline double middle(const float* values, Ballot* b, float x, float y) noexcept nogil:
    """Return the median of `values` over the shifts that agree with (x, y); at least one does."""
    cdef int at, n = 0
    cdef float dx, dy
    for at in range(b.depth * b.tracks):
        dx, dy = b.xs[at] - x, b.ys[at] - y
        if dx * dx + dy * dy < b.reach[at]:
            b.sample[n] = values[at]
            n += 1
    qsort(b.sample, n, sizeof(double), ascending)
    return (b.sample[(n - 1) // 2] + b.sample[n // 2]) / 2


cdef inline bint shift(Ballot* b, int least, double* x, double* y) noexcept nogil:
    """Write the shift of the picture and return whether there is one that `least` tracks agree on."""
    cdef int at = elect(b, least)
    cdef double x1, y1
    if at < 0:
        return False
    x1, y1 = middle(b.xs, b, b.xs[at], b.ys[at]), middle(b.ys, b, b.xs[at], b.ys[at])
    if tilewatch_votes(<float>x1, <float>y1, b.xs, b.ys, b.reach, b.depth, b.tracks, b.hit) == 0:
        x[0], y[0] = x1, y1
        return True
    x[0], y[0] = middle(b.xs, b, <float>x1, <float>y1), middle(b.ys, b, <float>x1, <float>y1)
    return True
