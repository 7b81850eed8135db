/* The two hot loops of the merge: one box against eight that lie side by side.
 *
 * Compiled once per instruction set on x86-64 with gcc (the loader picks), once plainly elsewhere. */
#ifndef TILEWATCH_MERGE_SIMD_H
#define TILEWATCH_MERGE_SIMD_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h> /* __GLIBC__ */

#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__)
#define TILEWATCH_MERGE_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define TILEWATCH_MERGE_CLONES
#endif

enum { TILEWATCH_BLOCK = 8 };

/* Boxes side by side. Each column can be read a block beyond its last box. */
typedef struct {
    double *left, *top, *right, *bottom;
} tilewatch_columns;

static const uint64_t TILEWATCH_BIT[TILEWATCH_BLOCK] = {1, 2, 4, 8, 16, 32, 64, 128};

/* Return the first `count` bits, or all eight of a block. */
static inline unsigned tilewatch_first_bits(ptrdiff_t count)
{
    return (1u << (count < TILEWATCH_BLOCK ? count : TILEWATCH_BLOCK)) - 1;
}

static inline int tilewatch_lowest_bit(unsigned bits)
{
    return __builtin_ctz(bits);
}

static inline int tilewatch_bit_count(uint64_t bits)
{
    return __builtin_popcountll(bits);
}

/* Set bit k if the area shared with box at + k is at least `least` of both areas' union, give or take a rounding. */
TILEWATCH_MERGE_CLONES
static unsigned tilewatch_alike(const double *box, const tilewatch_columns *boxes, ptrdiff_t at, double least)
{
    const double left = box[0], top = box[1], right = box[2], bottom = box[3], size = (right - left) * (bottom - top);
    const double *restrict l = boxes->left + at, *restrict t = boxes->top + at;
    const double *restrict r = boxes->right + at, *restrict b = boxes->bottom + at;
    uint64_t found = 0;
    for (int k = 0; k < TILEWATCH_BLOCK; k++) {
        double width = (r[k] < right ? r[k] : right) - (l[k] > left ? l[k] : left);
        double height = (b[k] < bottom ? b[k] : bottom) - (t[k] > top ? t[k] : top);
        double shared = (width > 0 ? width : 0) * (height > 0 ? height : 0);
        double either = size + (r[k] - l[k]) * (b[k] - t[k]) - shared;
        found |= shared >= least * either ? TILEWATCH_BIT[k] : 0;
    }
    return (unsigned)found;
}

/* Set bit k if box at + k has pixels in common. */
TILEWATCH_MERGE_CLONES
static unsigned tilewatch_touching(const double *box, const tilewatch_columns *boxes, ptrdiff_t at)
{
    const double left = box[0], top = box[1], right = box[2], bottom = box[3];
    const double *restrict l = boxes->left + at, *restrict t = boxes->top + at;
    const double *restrict r = boxes->right + at, *restrict b = boxes->bottom + at;
    uint64_t found = 0;
    for (int k = 0; k < TILEWATCH_BLOCK; k++) {
        double width = (r[k] < right ? r[k] : right) - (l[k] > left ? l[k] : left);
        double height = (b[k] < bottom ? b[k] : bottom) - (t[k] > top ? t[k] : top);
        found |= (width < height ? width : height) > 0 ? TILEWATCH_BIT[k] : 0;
    }
    return (unsigned)found;
}

#endif
