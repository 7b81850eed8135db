"""Cuts tiles out of a frame's planes; the arithmetic is in tile_kernel.h and, row by row, in tile_rows.h."""

cdef extern from "tile_rows.h" nogil:
    ctypedef struct TilePlane:
        const unsigned char* data
        long long row, pixel
        int width, height
    ctypedef struct TileColour:
        int black, luma, red_v, green_u, green_v, blue_u
    ctypedef struct TileScratch:
        int *first
        int *weight
        int *c_first
        int *c_weight
        int *y
        int *u
        int *v
    void tile_cut(
        TilePlane y, TilePlane u, TilePlane v, const int* rect, const int* fitted, TileColour colour,
        const TileScratch* scratch, int size, unsigned char* out,
    )
    void tile_cut_by_pixel(
        TilePlane y, TilePlane u, TilePlane v, const int* rect, const int* fitted, TileColour colour, int size,
        unsigned char* out,
    )
    ctypedef struct TileInput:
        int size
    ctypedef struct TileJob:
        TileInput input
    void tile_job(TileJob job, int t, int px, int py)


cdef inline TilePlane plane(const unsigned char[:, :] samples) noexcept:
    cdef TilePlane made
    made.data = &samples[0, 0]
    made.row, made.pixel = samples.strides[0], samples.strides[1]
    made.height, made.width = <int>samples.shape[0], <int>samples.shape[1]
    return made


def cut(
    const unsigned char[:, :] y, const unsigned char[:, :] u, const unsigned char[:, :] v, const int[:, ::1] rects,
    const int[:, ::1] fitted, const int[::1] terms, int[::1] scratch, unsigned char[:, :, :, ::1] out, bint by_pixel,
):
    cdef TilePlane luma = plane(y), first = plane(u), second = plane(v)
    cdef TileColour colour
    cdef TileScratch room
    cdef Py_ssize_t t, count = rects.shape[0]
    cdef int size = <int>out.shape[1]
    colour.black, colour.luma, colour.red_v = terms[0], terms[1], terms[2]
    colour.green_u, colour.green_v, colour.blue_u = terms[3], terms[4], terms[5]
    room.first = &scratch[0]
    room.weight, room.c_first, room.c_weight = room.first + size, room.first + 2 * size, room.first + 3 * size
    room.y = room.first + 4 * size
    room.u = room.y + luma.width + 1
    room.v = room.u + first.width + 1
    with nogil:
        for t in range(count):
            if by_pixel:
                tile_cut_by_pixel(luma, first, second, &rects[t, 0], &fitted[t, 0], colour, size, &out[t, 0, 0, 0])
            else:
                tile_cut(luma, first, second, &rects[t, 0], &fitted[t, 0], colour, &room, size, &out[t, 0, 0, 0])


def run_job(size_t job, int tiles):
    cdef const TileJob *given = <const TileJob *>job
    cdef int t, px, py
    with nogil:
        for t in range(tiles):
            for py in range(given.input.size):
                for px in range(given.input.size):
                    tile_job(given[0], t, px, py)


def job_bytes():
    return sizeof(TileJob)
