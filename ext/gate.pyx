"""The motion gate's measure of change; the rules are in native/reference/gate.py.

A block's mean is held in 1/64 grey levels: the sum of its 8 x 8 pixels.
"""

cdef enum:
    BLOCK = 8
    UNIT = 64
    SHIFTED = 16328  # 255 * UNIT, and half a bin to round
    BINS = 2048
    LEVEL_SHIFT = 4  # bins of 1/4 grey level for the light
    NOISE_SHIFT = 2  # bins of 1/16 grey level for the noise


cdef void add_rows(const unsigned char[:, :] y, Py_ssize_t top, Py_ssize_t rows, unsigned short* sums) noexcept nogil:
    """Write the sum of some rows' pixels, column by column."""
    cdef Py_ssize_t x, row, width = y.shape[1]
    cdef const unsigned char* pixels = &y[top, 0]
    for x in range(width):
        sums[x] = pixels[x]
    for row in range(top + 1, top + rows):
        pixels = &y[row, 0]
        for x in range(width):
            sums[x] = <unsigned short>(sums[x] + pixels[x])


def block_means(const unsigned char[:, :] y, unsigned short[::1] columns, unsigned short[:, ::1] means):
    cdef Py_ssize_t height = y.shape[0], width = y.shape[1], row, column, x, rows, high, total, pixels
    with nogil:
        for row in range(means.shape[0]):
            rows = min(<Py_ssize_t>BLOCK, height - row * BLOCK)
            add_rows(y, row * BLOCK, rows, &columns[0])
            for column in range(means.shape[1]):
                high = min((column + 1) * BLOCK, width)
                total = 0
                for x in range(column * BLOCK, high):
                    total += columns[x]
                pixels = rows * (high - column * BLOCK)
                means[row, column] = <unsigned short>((total * UNIT + pixels // 2) // pixels)


cdef inline Py_ssize_t middle_bin(const int* histogram, Py_ssize_t count) noexcept nogil:
    """Return the first bin at which half of the values are reached."""
    cdef Py_ssize_t at = 0, seen = histogram[0]
    while 2 * seen < count:
        at += 1
        seen += histogram[at]
    return at


cdef inline void clear(int* histogram) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(BINS):
        histogram[i] = 0


cdef int light_of(
    const unsigned short[:, ::1] now, const unsigned short* before, const int* window, int* histogram,
) noexcept nogil:
    """Return the median change of a window's blocks."""
    cdef Py_ssize_t x, y, k = 0
    clear(histogram)
    for y in range(window[1], window[3]):
        for x in range(window[0], window[2]):
            histogram[(<int>now[y, x] - <int>before[k] + SHIFTED) >> LEVEL_SHIFT] += 1
            k += 1
    return <int>((middle_bin(histogram, k) << LEVEL_SHIFT) - 255 * UNIT)


cdef void compare_one(
    const unsigned short[:, ::1] now, const unsigned short* before, const int* window, int least, int* histogram,
    unsigned char* changed, long long* found,
) noexcept nogil:
    cdef Py_ssize_t x, y, k = 0
    cdef int light = light_of(now, before, window, histogram), change
    found[0] = found[1] = 0
    clear(histogram)
    for y in range(window[1], window[3]):
        for x in range(window[0], window[2]):
            change = <int>now[y, x] - <int>before[k] - light
            change = -change if change < 0 else change
            changed[k] = change > least
            if change > least:
                found[0] += change - least
                found[1] += 1
            histogram[min(change >> NOISE_SHIFT, <int>BINS - 1)] += 1
            k += 1
    found[2] = middle_bin(histogram, k) << NOISE_SHIFT


def compare(
    const unsigned short[:, ::1] now, const unsigned short[::1] before, const long long[::1] start,
    const int[:, ::1] windows, int least, int[::1] histogram, unsigned char[::1] changed, long long[:, ::1] found,
):
    cdef Py_ssize_t t
    with nogil:
        for t in range(windows.shape[0]):
            compare_one(
                now, &before[start[t]], &windows[t, 0], least, &histogram[0], &changed[start[t]], &found[t, 0],
            )
