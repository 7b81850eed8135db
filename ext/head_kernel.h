/* One anchor of a detector's output to a box, for the CPU (Cython) and the GPU (NVRTC, nvcc) alike.
 *
 * An anchor gives at most one candidate, of its best class (the first of equals, NaN never wins), when its score is at
 * least the threshold, which is positive. The rules are those of native.reference.heads. No includes but the CPU's math:
 * NVRTC has none to offer.
 */
#ifndef HEAD_KERNEL_H
#define HEAD_KERNEL_H

#ifdef __CUDACC__
#define HEAD_FN static __device__ __forceinline__
#define HEAD_NEXT(counter) atomicAdd((counter), 1)
#else
#include <math.h>
#define HEAD_FN static inline
#define HEAD_NEXT(counter) ((*(counter))++)
#endif

#define HEAD_ROW 8 /* floats of a row: x0 y0 x1 y1 score class anchor, and one of padding */

typedef struct {
    float x0, y0, x1, y1;
} HeadBox;

/* The largest of `count` scores that lie `step` apart, and its place; -1 when none is positive. */
HEAD_FN int head_best(const float *scores, long long count, long long step, float *best) {
    int label = -1;
    *best = 0.0f;
    for (long long c = 0; c < count; c++) {
        if (scores[c * step] > *best) {
            *best = scores[c * step];
            label = (int)c;
        }
    }
    return label;
}

HEAD_FN HeadBox head_centred(float cx, float cy, float width, float height) {
    const float half_width = width * 0.5f, half_height = height * 0.5f;
    const HeadBox box = {cx - half_width, cy - half_height, cx + half_width, cy + half_height};
    return box;
}

/* Box of an anchor given as offsets and logarithms of its cell: column, row, stride (raw YOLOX). */
HEAD_FN HeadBox head_in_cell(const float *cell, float x, float y, float width, float height) {
    return head_centred((x + cell[0]) * cell[2], (y + cell[1]) * cell[2], (float)(exp((double)width) * cell[2]),
                        (float)(exp((double)height) * cell[2]));
}

/* A batch's raw output and where its candidates go. Value w of anchor a of a tile lies at a * anchor_step +
 * w * value_step: four of the box, the objectness if there is one, then `classes` scores. `grid` is (anchors, 3) column,
 * row and stride of each cell, or null for boxes in pixels. */
typedef struct {
    const float *output, *grid;
    float *rows; /* (T, room, HEAD_ROW) in no order */
    int *counts; /* (T,) from 0; more than `room` means that rows are missing */
    long long tile_step, anchor_step, value_step;
    int anchors, classes, objectness, room;
    float threshold;
} HeadFilter;

/* Anchor a of tile t: what a thread does. */
HEAD_FN void head_filter(HeadFilter f, int t, int a) {
    const float *value = f.output + t * f.tile_step + a * f.anchor_step;
    const long long step = f.value_step;
    const float certain = f.objectness ? value[4 * step] : 1.0f;
    float score;
    if (!(certain >= f.threshold) && f.objectness)
        return;
    const int label = head_best(value + (f.objectness ? 5 : 4) * step, f.classes, step, &score);
    score = f.objectness ? score * certain : score;
    if (label < 0 || !(score >= f.threshold))
        return;
    const int place = HEAD_NEXT(f.counts + t);
    if (place >= f.room)
        return;
    const HeadBox box = f.grid ? head_in_cell(f.grid + 3LL * a, value[0], value[step], value[2 * step], value[3 * step])
                               : head_centred(value[0], value[step], value[2 * step], value[3 * step]);
    float *row = f.rows + ((long long)t * f.room + place) * HEAD_ROW;
    row[0] = box.x0, row[1] = box.y0, row[2] = box.x1, row[3] = box.y1;
    row[4] = score, row[5] = (float)label, row[6] = (float)a, row[7] = 0.0f;
}

#endif
