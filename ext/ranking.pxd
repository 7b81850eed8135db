"""Sorting rows by a 32-bit key and rows of nearly equal keys by comparison, as inline kernels for merge.pyx.

Radix sort, least significant byte first: a handful of sequential passes, however many rows there are. The last byte of
a key is left to the comparison: it rarely decides anything and would cost a pass.
"""
from libc.string cimport memcpy, memset

cdef enum:
    DIGITS = 3
    FIRST = 40  # bit of a row's word where they begin

ctypedef unsigned long long Word
ctypedef bint (*Before)(const void* rows, int a, int b) noexcept nogil


cdef inline unsigned int falling(float value) noexcept nogil:
    """Return a key that is the smaller the larger the value is; -0 and 0 have the same one."""
    cdef unsigned int bits
    value += 0
    memcpy(&bits, &value, sizeof(bits))
    return bits if bits & 0x80000000u else ~bits & 0x7FFFFFFFu


cdef inline void by_comparison(int* items, int* spare, Py_ssize_t n, Before before, const void* rows) noexcept nogil:
    """Merge sort, bottom up."""
    cdef Py_ssize_t width = 1, low, middle, high, a, b, at
    cdef int* source = items
    cdef int* target = spare
    while width < n:
        low = 0
        while low < n:
            middle, high = min(low + width, n), min(low + 2 * width, n)
            a, b = low, middle
            for at in range(low, high):
                if b < high and (a >= middle or before(rows, source[b], source[a])):
                    target[at] = source[b]
                    b += 1
                else:
                    target[at] = source[a]
                    a += 1
            low = high
        source, target = target, source
        width *= 2
    if source != items:
        memcpy(items, source, n * sizeof(int))


cdef inline void rank(
    Word* keyed, Word* spare, Py_ssize_t n, Before before, const void* rows, int* order,
) noexcept nogil:
    """Write the sorted rows to `order`. `keyed` holds key << 32 | row and is spent, like `spare`."""
    cdef Py_ssize_t count[DIGITS][256]
    cdef Py_ssize_t i, total, here, low, high
    cdef int byte, digit
    memset(count, 0, sizeof(count))
    for i in range(n):
        for byte in range(DIGITS):
            count[byte][(keyed[i] >> (FIRST + 8 * byte)) & 255] += 1
    for byte in range(DIGITS):
        total = 0
        for digit in range(256):
            here = count[byte][digit]
            count[byte][digit] = total
            total += here
        for i in range(n):
            digit = (keyed[i] >> (FIRST + 8 * byte)) & 255
            spare[count[byte][digit]] = keyed[i]
            count[byte][digit] += 1
        keyed, spare = spare, keyed
    for i in range(n):
        order[i] = <int>(keyed[i] & 0xFFFFFFFFu)
    low = 0
    while low < n:
        high = low + 1
        while high < n and keyed[high] >> FIRST == keyed[low] >> FIRST:
            high += 1
        if high - low > 1:
            by_comparison(order + low, <int*>spare, high - low, before, rows)
        low = high
