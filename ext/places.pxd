"""Sorting items into numbered places by counting them, as inline kernels for the grids of merge.pyx."""

from libc.string cimport memset

cdef enum:
    NOWHERE = -1


cdef struct Places:
    Py_ssize_t count
    int* start        # (count + 1,) where the items of a place begin
    int* of_item      # (n,) place of every item, or NOWHERE
    int* item         # (n,) items, by place and then as they came


cdef inline void reserve(Places* places, int* room, Py_ssize_t count, Py_ssize_t n) noexcept nogil:
    """Prepare for n items. `room` holds 2 n + count + 1."""
    places.count = count
    places.start, places.of_item, places.item = room, room + count + 1, room + count + 1 + n
    memset(places.start, 0, (count + 1) * sizeof(int))


cdef inline void put(Places* places, Py_ssize_t i, Py_ssize_t place) noexcept nogil:
    """Say where item i belongs."""
    places.of_item[i] = <int>place
    places.start[place] += 1


cdef inline void settle(Places* places, Py_ssize_t n) noexcept nogil:
    """Sort the items into their places, once all are put (or their place is NOWHERE)."""
    cdef Py_ssize_t i, place
    for place in range(1, places.count + 1):
        places.start[place] += places.start[place - 1]
    for i in range(n - 1, -1, -1):
        if places.of_item[i] != NOWHERE:
            place = places.of_item[i]
            places.start[place] -= 1
            places.item[places.start[place]] = <int>i
