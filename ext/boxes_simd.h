/* The two hot loops of the tracker: overlaps of one box with many, and votes for a shift of the whole picture.
 *
 * Compiled once per instruction set on x86-64 with gcc (the loader picks), once plainly elsewhere. */
#ifndef TILEWATCH_BOXES_SIMD_H
#define TILEWATCH_BOXES_SIMD_H

#include <stddef.h>
#include <stdlib.h> /* __GLIBC__ */

#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__)
#define TILEWATCH_BOXES_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define TILEWATCH_BOXES_CLONES
#endif

/* N boxes side by side; `size` is the area, where a pixel at the far side counts `pixel` (0 or 1). */
typedef struct {
    float *left, *top, *right, *bottom, *size, *score;
    int count;
} tilewatch_boxes;

/* iou[i] = intersection / (union + extra) of one box with box i. */
TILEWATCH_BOXES_CLONES
static void tilewatch_overlaps(const float *box, const tilewatch_boxes *boxes, float pixel, float extra, float *iou)
{
    const float left = box[0], top = box[1], right = box[2], bottom = box[3];
    const float size = (right - left + pixel) * (bottom - top + pixel);
    const float *restrict l = boxes->left, *restrict t = boxes->top, *restrict s = boxes->size;
    const float *restrict r = boxes->right, *restrict b = boxes->bottom;
    float *restrict out = iou;
    const int count = boxes->count;
    for (int i = 0; i < count; i++) {
        float width = (r[i] < right ? r[i] : right) - (l[i] > left ? l[i] : left) + pixel;
        float height = (b[i] < bottom ? b[i] : bottom) - (t[i] > top ? t[i] : top) + pixel;
        float inner = (width > 0 ? width : 0) * (height > 0 ? height : 0);
        out[i] = inner / (size + s[i] - inner + extra);
    }
}

/* How many of `tracks` columns have, in one of `depth` rows, a shift within its own reach of (x, y). `hit` is scratch;
 * `reach` is squared, and negative where there is no shift. */
TILEWATCH_BOXES_CLONES
static int tilewatch_votes(float x, float y, const float *xs, const float *ys, const float *reach, int depth,
                           int tracks, int *hit)
{
    int *restrict h = hit;
    int votes = 0;
    for (int i = 0; i < tracks; i++)
        h[i] = 0;
    for (int j = 0; j < depth; j++) {
        const float *restrict px = xs + (ptrdiff_t)j * tracks, *restrict py = ys + (ptrdiff_t)j * tracks;
        const float *restrict pr = reach + (ptrdiff_t)j * tracks;
        for (int i = 0; i < tracks; i++)
            h[i] |= (px[i] - x) * (px[i] - x) + (py[i] - y) * (py[i] - y) < pr[i];
    }
    for (int i = 0; i < tracks; i++)
        votes += h[i];
    return votes;
}

#endif
