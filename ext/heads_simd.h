/* The one hot loop of the heads: largest class score of many anchors that lie side by side.
 *
 * Compiled once per instruction set on x86-64 with gcc (the loader picks), once plainly elsewhere. */
#ifndef TILEWATCH_HEADS_SIMD_H
#define TILEWATCH_HEADS_SIMD_H

#include <stddef.h>
#include <stdlib.h> /* __GLIBC__ */

#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__)
#define TILEWATCH_HEADS_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define TILEWATCH_HEADS_CLONES
#endif

/* best[i] = max over c of rows[c * stride + i]; NaN never wins, nothing at all gives -infinity. */
TILEWATCH_HEADS_CLONES
static void tilewatch_column_max(const float *rows, ptrdiff_t stride, ptrdiff_t classes, ptrdiff_t count, float *best)
{
    for (ptrdiff_t i = 0; i < count; i++)
        best[i] = -__builtin_inff();
    for (ptrdiff_t c = 0; c < classes; c++) {
        const float *row = rows + c * stride;
        for (ptrdiff_t i = 0; i < count; i++)
            best[i] = row[i] > best[i] ? row[i] : best[i];
    }
}

#endif
