"""The constant-velocity filter of one track, as inline kernels for kalman.pyx and bytetrack.pyx.

F, H, P0, Q and R of ByteTrack never couple the four coordinates, so the 8x8 filter is four independent filters of two
states each. `x` points at the 20 numbers of a track, four of each kind: position, velocity, Ppp, Ppv, Pvv.

Coordinates are cx, cy, w, h, or cx, cy, w/h, h when `aspect` is true (the published form).
"""

cdef enum:
    POSITION = 0
    VELOCITY = 4
    VAR_P = 8
    COV = 12
    VAR_V = 16
    SIZE = 20


cdef inline void deviations(
    const double* x, bint aspect, double per_size, double of_aspect, double* deviation
) noexcept nogil:
    """Write the standard deviation of each coordinate: a share of the box's size, or a constant for the aspect."""
    deviation[1] = deviation[3] = per_size * x[3]
    deviation[0] = deviation[1] if aspect else per_size * x[2]
    deviation[2] = of_aspect if aspect else deviation[0]


cdef inline void measure(const double* box, bint aspect, double* z) noexcept nogil:
    """Write the coordinates of a box given as left, top, right, bottom."""
    cdef double width = box[2] - box[0], height = box[3] - box[1]
    z[0] = box[0] + width / 2
    z[1] = box[1] + height / 2
    z[2] = width / height if aspect else width
    z[3] = height


cdef inline void start(double* x, const double* box, bint aspect) noexcept nogil:
    """Begin at a box, at rest."""
    cdef int c
    cdef double[4] p
    cdef double[4] v
    measure(box, aspect, x)
    deviations(x, aspect, 2 * 0.05, 1e-2, p)
    deviations(x, aspect, 10 * 0.00625, 1e-5, v)
    for c in range(4):
        x[VELOCITY + c] = 0
        x[VAR_P + c] = p[c] * p[c]
        x[COV + c] = 0
        x[VAR_V + c] = v[c] * v[c]


cdef inline void predict(double* x, double k, bint aspect, bint moving) noexcept nogil:
    """Go on by k unit steps in closed form; a track that is not `moving` has lost its rates of size first."""
    cdef int c
    cdef double[4] q
    cdef double[4] r
    cdef double pv, vv
    cdef double in_p = (k - 1) * k * (2 * k - 1) / 6 if k >= 1 else 0
    cdef double in_pv = k * (k - 1) / 2 if k >= 1 else 0
    if not moving:
        x[VELOCITY + 3] = 0
        if not aspect:
            x[VELOCITY + 2] = 0
    deviations(x, aspect, 0.05, 1e-2, q)
    deviations(x, aspect, 0.00625, 1e-5, r)
    for c in range(4):
        q[c], r[c] = q[c] * q[c], r[c] * r[c]
        pv, vv = x[COV + c], x[VAR_V + c]
        x[POSITION + c] += k * x[VELOCITY + c]
        x[VAR_P + c] = x[VAR_P + c] + 2 * k * pv + k * k * vv + k * q[c] + r[c] * in_p
        x[COV + c] = pv + k * vv + r[c] * in_pv
        x[VAR_V + c] = vv + k * r[c]
    if not aspect:
        x[2] = max(x[2], 1e-3)
        x[3] = max(x[3], 1e-3)


cdef inline void correct(double* x, const double* box, bint aspect) noexcept nogil:
    """Take in a measured box."""
    cdef int c
    cdef double[4] z
    cdef double[4] noise
    cdef double s, k1, k2, y
    measure(box, aspect, z)
    deviations(x, aspect, 0.05, 1e-1, noise)
    for c in range(4):
        s = x[VAR_P + c] + noise[c] * noise[c]
        k1 = x[VAR_P + c] / s
        k2 = x[COV + c] / s
        y = z[c] - x[POSITION + c]
        x[POSITION + c] += k1 * y
        x[VELOCITY + c] += k2 * y
        x[VAR_P + c] -= k1 * k1 * s
        x[COV + c] -= k1 * k2 * s
        x[VAR_V + c] -= k2 * k2 * s


cdef inline void bounds(const double* x, bint aspect, double* box) noexcept nogil:
    """Write left, top, right, bottom of the filter's position."""
    cdef double width = x[2] * x[3] if aspect else x[2]
    box[0] = x[0] - width / 2
    box[1] = x[1] - x[3] / 2
    box[2] = x[0] + width / 2
    box[3] = x[1] + x[3] / 2
