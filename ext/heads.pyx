"""Decoding of detector heads: every anchor above a threshold becomes one box with its best class.

Each kernel writes its candidates to the front of the caller's arrays, which have room for every anchor, and returns
their number. `wanted` has one byte a class, or is empty for all classes. The rules are those of the numpy twins.
"""

from libc.math cimport INFINITY, exp
from libc.stdint cimport int16_t, int32_t, uint8_t

cdef extern from "heads_simd.h" nogil:
    void tilewatch_column_max(
        const float *rows, Py_ssize_t stride, Py_ssize_t classes, Py_ssize_t count, float *best
    ) noexcept

cdef extern from "head_kernel.h" nogil:
    ctypedef struct HeadBox:
        float x0, y0, x1, y1
    ctypedef struct HeadFilter:
        int anchors
    HeadBox head_centred(float cx, float cy, float width, float height) noexcept
    HeadBox head_in_cell(const float *cell, float x, float y, float width, float height) noexcept
    void head_filter(HeadFilter f, int t, int a) noexcept

cdef enum:
    BLOCK = 512  # anchors whose running maximum stays in the first-level cache
    LABEL_LIMIT = 1 << 24  # above it a float no longer counts classes one by one


cdef struct Sink:
    float *xyxy
    float *score
    int32_t *label
    int16_t *tile
    const uint8_t *wanted
    Py_ssize_t classes  # length of wanted; 0: all classes
    Py_ssize_t count


cdef inline Sink sink_of(
    float[:, ::1] xyxy, float[::1] score, int32_t[::1] label, int16_t[::1] tile, const uint8_t[::1] wanted
) noexcept nogil:
    cdef Sink sink
    sink.xyxy = &xyxy[0, 0]
    sink.score = &score[0]
    sink.label = &label[0]
    sink.tile = &tile[0]
    sink.classes = wanted.shape[0]
    sink.wanted = &wanted[0] if sink.classes > 0 else NULL
    sink.count = 0
    return sink


cdef inline bint is_wanted(const Sink *sink, Py_ssize_t label) noexcept nogil:
    return sink.classes == 0 or (label < sink.classes and sink.wanted[label] != 0)


cdef inline void put(Sink *sink, Py_ssize_t tile, Py_ssize_t label, float score, HeadBox found) noexcept nogil:
    cdef float *box = sink.xyxy + 4 * sink.count
    box[0] = found.x0
    box[1] = found.y0
    box[2] = found.x1
    box[3] = found.y1
    sink.score[sink.count] = score
    sink.label[sink.count] = <int32_t>label
    sink.tile[sink.count] = <int16_t>tile
    sink.count += 1


cdef inline Py_ssize_t first_best(const float *scores, Py_ssize_t classes, float *best) noexcept nogil:
    """Index of the largest score, the first of equals; NaN never wins. -1 when there is none."""
    cdef Py_ssize_t c, label = -1
    best[0] = -INFINITY
    for c in range(classes):
        if scores[c] > best[0]:
            best[0] = scores[c]
            label = c
    return label


cdef void scan_columns(
    const float *output, Py_ssize_t classes, Py_ssize_t anchors, float threshold, Py_ssize_t tile, Sink *sink
) noexcept nogil:
    cdef float best[BLOCK]
    cdef const float *scores = output + 4 * anchors
    cdef Py_ssize_t block, start, count, i, a, label
    for block in range((anchors + BLOCK - 1) // BLOCK):
        start = block * BLOCK
        count = min(<Py_ssize_t>BLOCK, anchors - start)
        tilewatch_column_max(scores + start, anchors, classes, count, &best[0])
        for i in range(count):
            if not best[i] >= threshold:
                continue
            a = start + i
            label = 0
            while scores[label * anchors + a] != best[i]:
                label += 1
            if is_wanted(sink, label):
                put(
                    sink, tile, label, best[i],
                    head_centred(output[a], output[anchors + a], output[2 * anchors + a], output[3 * anchors + a]),
                )


cdef void scan_rows(
    const float *output, const float *grid, Py_ssize_t anchors, Py_ssize_t width, float threshold, Py_ssize_t tile,
    Sink *sink,
) noexcept nogil:
    """`grid` is NULL for boxes in pixels, else (anchors, 3): column, row and stride of each anchor's cell."""
    cdef const float *row
    cdef Py_ssize_t a, label
    cdef float score
    for a in range(anchors):
        row = output + a * width
        if not row[4] >= threshold:
            continue
        label = first_best(row + 5, width - 5, &score)
        score *= row[4]
        if not score >= threshold or not is_wanted(sink, label):
            continue
        if grid == NULL:
            put(sink, tile, label, score, head_centred(row[0], row[1], row[2], row[3]))
        else:
            put(sink, tile, label, score, head_in_cell(grid + 3 * a, row[0], row[1], row[2], row[3]))


def columns(
    const float[:, :, ::1] output, float threshold, const uint8_t[::1] wanted, float[:, ::1] xyxy, float[::1] score,
    int32_t[::1] label, int16_t[::1] tile,
):
    cdef Py_ssize_t b
    cdef Sink sink
    with nogil:
        sink = sink_of(xyxy, score, label, tile, wanted)
        for b in range(output.shape[0]):
            scan_columns(&output[b, 0, 0], output.shape[1] - 4, output.shape[2], threshold, b, &sink)
    return sink.count


def rows(
    const float[:, :, ::1] output, const float[:, ::1] grid, float threshold, const uint8_t[::1] wanted,
    float[:, ::1] xyxy, float[::1] score, int32_t[::1] label, int16_t[::1] tile,
):
    cdef Py_ssize_t b
    cdef Sink sink
    cdef const float *cells
    with nogil:
        sink = sink_of(xyxy, score, label, tile, wanted)
        cells = &grid[0, 0] if grid.shape[0] > 0 else NULL
        for b in range(output.shape[0]):
            scan_rows(&output[b, 0, 0], cells, output.shape[1], output.shape[2], threshold, b, &sink)
    return sink.count


def end2end(
    const float[:, :, ::1] output, float threshold, const uint8_t[::1] wanted, float[:, ::1] xyxy, float[::1] score,
    int32_t[::1] label, int16_t[::1] tile,
):
    cdef Py_ssize_t b, k
    cdef Sink sink
    cdef HeadBox box
    cdef const float *row
    with nogil:
        sink = sink_of(xyxy, score, label, tile, wanted)
        for b in range(output.shape[0]):
            for k in range(output.shape[1]):
                row = &output[b, k, 0]
                if not row[4] >= threshold or not (row[5] >= 0 and row[5] < LABEL_LIMIT):
                    continue
                if is_wanted(&sink, <Py_ssize_t>row[5]):
                    box.x0, box.y0, box.x1, box.y1 = row[0], row[1], row[2], row[3]
                    put(&sink, b, <Py_ssize_t>row[5], row[4], box)
    return sink.count


def detr(
    const float[:, :, ::1] boxes, const float[:, :, ::1] scores, bint logits, float size, float threshold,
    const uint8_t[::1] wanted, float[:, ::1] xyxy, float[::1] score, int32_t[::1] label, int16_t[::1] tile,
):
    cdef Py_ssize_t b, q, best_label
    cdef Sink sink
    cdef float best
    cdef const float *box
    with nogil:
        sink = sink_of(xyxy, score, label, tile, wanted)
        for b in range(boxes.shape[0]):
            for q in range(boxes.shape[1]):
                best_label = first_best(&scores[b, q, 0], scores.shape[2], &best)
                if logits:
                    best = <float>(1.0 / (1.0 + exp(-<double>best)))
                if best_label < 0 or not best >= threshold or not is_wanted(&sink, best_label):
                    continue
                box = &boxes[b, q, 0]
                put(
                    &sink, b, best_label, best,
                    head_centred(box[0] * size, box[1] * size, box[2] * size, box[3] * size),
                )
    return sink.count


def run_filter(size_t task, int tiles):
    cdef const HeadFilter *given = <const HeadFilter *>task
    cdef int t, a
    with nogil:
        for t in range(tiles):
            for a in range(given.anchors):
                head_filter(given[0], t, a)


def filter_bytes():
    return sizeof(HeadFilter)
