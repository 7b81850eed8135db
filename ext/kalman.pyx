"""The tracker's motion filter over a table of N tracks, one row each; the kernels are in kalman.pxd."""

cimport kalman


def start(double[:, ::1] table, const double[:, ::1] boxes, bint aspect):
    cdef Py_ssize_t i
    with nogil:
        for i in range(table.shape[0]):
            kalman.start(&table[i, 0], &boxes[i, 0], aspect)


def predict(double[:, ::1] table, double steps, const unsigned char[::1] moving, bint aspect):
    cdef Py_ssize_t i
    with nogil:
        for i in range(table.shape[0]):
            kalman.predict(&table[i, 0], steps, aspect, moving[i])


def correct(double[:, ::1] table, const double[:, ::1] boxes, bint aspect):
    cdef Py_ssize_t i
    with nogil:
        for i in range(table.shape[0]):
            kalman.correct(&table[i, 0], &boxes[i, 0], aspect)


def bounds(const double[:, ::1] table, double[:, ::1] boxes, bint aspect):
    cdef Py_ssize_t i
    with nogil:
        for i in range(table.shape[0]):
            kalman.bounds(&table[i, 0], aspect, &boxes[i, 0])
