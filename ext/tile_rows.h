/* The sampling of tile_kernel.h a row at a time, in loops the compiler can vectorise: the CPU's way to the same bytes.
 *
 * Each output row is made in pieces of TILE_PIECE pixels, so that what lies between two loops stays in the first cache.
 * Loops count in ptrdiff_t: Python builds extensions with -fwrapv, and then GCC does not vectorise `2 * i` of an int.
 */
#ifndef TILE_ROWS_H
#define TILE_ROWS_H

#include <stddef.h>
#include <string.h>

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#include "tile_kernel.h"

/* Clones for wider vectors, picked once by the loader: GCC on x86-64 with glibc; elsewhere the plain function.
 * GCC before 12 does not know the level's name. */
#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__) && __GNUC__ >= 12
#define TILE_CLONES __attribute__((target_clones("arch=x86-64-v4", "avx2", "default")))
#elif defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__)
#define TILE_CLONES __attribute__((target_clones("avx2", "default")))
#else
#define TILE_CLONES
#endif

#define TILE_PIECE 512

/* Where a tile's columns lie in luma and chroma rows, one entry an input pixel; and room for one blended row each. */
typedef struct {
    int *first, *weight, *c_first, *c_weight; /* (S,) each */
    int *y, *u, *v;                           /* (samples of the plane + 1,) each */
} TileScratch;

/* Three rows of bytes to RGB pixels. Compilers find no good way to store every third byte, so the common processors get
 * their own instructions for it. */
static void tile_interleave_plain(const unsigned char *restrict red, const unsigned char *restrict green,
                                  const unsigned char *restrict blue, int from, int n, unsigned char *restrict rgb) {
    for (ptrdiff_t i = from; i < n; i++) {
        rgb[3 * i] = red[i];
        rgb[3 * i + 1] = green[i];
        rgb[3 * i + 2] = blue[i];
    }
}

#if defined(__x86_64__) && defined(__GNUC__)
/* Where each of 16 bytes of a colour goes in the first, second and third 16 bytes of RGB; -1: another colour's. */
#define TILE_SPREAD(a, b, c, colour) \
    _mm_or_si128(_mm_or_si128(_mm_shuffle_epi8(r, a[colour]), _mm_shuffle_epi8(g, b[colour])), \
                 _mm_shuffle_epi8(h, c[colour]))

__attribute__((target("ssse3"))) static int tile_interleave_16(const unsigned char *red, const unsigned char *green,
                                                               const unsigned char *blue, int n, unsigned char *rgb) {
    const __m128i to_red[3] = {_mm_setr_epi8(0, -1, -1, 1, -1, -1, 2, -1, -1, 3, -1, -1, 4, -1, -1, 5),
                               _mm_setr_epi8(-1, -1, 6, -1, -1, 7, -1, -1, 8, -1, -1, 9, -1, -1, 10, -1),
                               _mm_setr_epi8(-1, 11, -1, -1, 12, -1, -1, 13, -1, -1, 14, -1, -1, 15, -1, -1)};
    const __m128i to_green[3] = {_mm_setr_epi8(-1, 0, -1, -1, 1, -1, -1, 2, -1, -1, 3, -1, -1, 4, -1, -1),
                                 _mm_setr_epi8(5, -1, -1, 6, -1, -1, 7, -1, -1, 8, -1, -1, 9, -1, -1, 10),
                                 _mm_setr_epi8(-1, -1, 11, -1, -1, 12, -1, -1, 13, -1, -1, 14, -1, -1, 15, -1)};
    const __m128i to_blue[3] = {_mm_setr_epi8(-1, -1, 0, -1, -1, 1, -1, -1, 2, -1, -1, 3, -1, -1, 4, -1),
                                _mm_setr_epi8(-1, 5, -1, -1, 6, -1, -1, 7, -1, -1, 8, -1, -1, 9, -1, -1),
                                _mm_setr_epi8(10, -1, -1, 11, -1, -1, 12, -1, -1, 13, -1, -1, 14, -1, -1, 15)};
    int i = 0;
    for (; i + 16 <= n; i += 16) {
        const __m128i r = _mm_loadu_si128((const __m128i *)(red + i));
        const __m128i g = _mm_loadu_si128((const __m128i *)(green + i));
        const __m128i h = _mm_loadu_si128((const __m128i *)(blue + i));
        for (int k = 0; k < 3; k++)
            _mm_storeu_si128((__m128i *)(rgb + 3 * i + 16 * k), TILE_SPREAD(to_red, to_green, to_blue, k));
    }
    return i;
}
static int tile_interleave_fast(const unsigned char *red, const unsigned char *green, const unsigned char *blue, int n,
                                unsigned char *rgb) {
    return __builtin_cpu_supports("ssse3") ? tile_interleave_16(red, green, blue, n, rgb) : 0;
}
#elif defined(__aarch64__)
static int tile_interleave_fast(const unsigned char *red, const unsigned char *green, const unsigned char *blue, int n,
                                unsigned char *rgb) {
    int i = 0;
    for (; i + 16 <= n; i += 16) {
        const uint8x16x3_t pixels = {{vld1q_u8(red + i), vld1q_u8(green + i), vld1q_u8(blue + i)}};
        vst3q_u8(rgb + 3 * i, pixels);
    }
    return i;
}
#else
static int tile_interleave_fast(const unsigned char *red, const unsigned char *green, const unsigned char *blue, int n,
                                unsigned char *rgb) {
    return 0;
}
#endif

static void tile_interleave(const unsigned char *red, const unsigned char *green, const unsigned char *blue, int n,
                            unsigned char *rgb) {
    tile_interleave_plain(red, green, blue, tile_interleave_fast(red, green, blue, n, rgb), n, rgb);
}

/* Luma and chroma terms of n pixels to bytes of one colour. */
TILE_CLONES static void tile_bytes(const short *restrict luma, const short *restrict chroma, int n,
                                   unsigned char *restrict out) {
    for (ptrdiff_t i = 0; i < n; i++)
        out[i] = tile_byte(luma[i], chroma[i]);
}

/* Luma terms from a row of bytes; `pixel` is 1 in a decoder's planes, anything in a turned or mirrored view. */
TILE_CLONES static void tile_load_luma(const unsigned char *restrict y, long long pixel, int n, TileColour colour,
                                       short *restrict luma) {
    if (pixel == 1)
        for (ptrdiff_t i = 0; i < n; i++)
            luma[i] = tile_luma(colour, (short)((y[i] - colour.black) * (1 << TILE_SAMPLE_BITS)));
    else
        for (ptrdiff_t i = 0; i < n; i++)
            luma[i] = tile_luma(colour, (short)((y[i * pixel] - colour.black) * (1 << TILE_SAMPLE_BITS)));
}

/* Luma terms and chroma terms of up to TILE_PIECE pixels to RGB. */
static void tile_paint(const short *luma, const short *red, const short *green, const short *blue, int n,
                       unsigned char *rgb) {
    unsigned char r[TILE_PIECE], g[TILE_PIECE], b[TILE_PIECE];
    tile_bytes(luma, red, n, r);
    tile_bytes(luma, green, n, g);
    tile_bytes(luma, blue, n, b);
    tile_interleave(r, g, b, n, rgb);
}

/* Chroma terms of n samples, and each of them twice. */
TILE_CLONES static void tile_chroma(const short *restrict u, const short *restrict v, int n, TileColour colour,
                                    short *restrict red, short *restrict green, short *restrict blue) {
    for (ptrdiff_t i = 0; i < n; i++) {
        red[2 * i] = red[2 * i + 1] = tile_red(colour, v[i]);
        green[2 * i] = green[2 * i + 1] = tile_green(colour, u[i], v[i]);
        blue[2 * i] = blue[2 * i + 1] = tile_blue(colour, u[i]);
    }
}

/* Bytes of a chroma row as samples without their offset; `pixel` is 1 (planar), 2 (NV12) or whatever a view has. */
TILE_CLONES static void tile_load_chroma(const unsigned char *restrict row, long long pixel, int n,
                                         short *restrict out) {
    if (pixel == 1)
        for (ptrdiff_t i = 0; i < n; i++)
            out[i] = (short)((row[i] - 128) * (1 << TILE_SAMPLE_BITS));
    else if (pixel == 2)
        for (ptrdiff_t i = 0; i < n; i++)
            out[i] = (short)((row[2 * i] - 128) * (1 << TILE_SAMPLE_BITS));
    else
        for (ptrdiff_t i = 0; i < n; i++)
            out[i] = (short)((row[i * pixel] - 128) * (1 << TILE_SAMPLE_BITS));
}

/* Two rows of a plane blended, samples `begin` to `end`. */
TILE_CLONES static void tile_blend_rows(const unsigned char *restrict upper, const unsigned char *restrict lower,
                                        long long pixel, int weight, int begin, int end,
                                        int *restrict out) {
    if (pixel == 1)
        for (ptrdiff_t i = begin; i < end; i++)
            out[i] = tile_blend(upper[i], lower[i], weight);
    else if (pixel == 2)
        for (ptrdiff_t i = begin; i < end; i++)
            out[i] = tile_blend(upper[2 * i], lower[2 * i], weight);
    else
        for (ptrdiff_t i = begin; i < end; i++)
            out[i] = tile_blend(upper[i * pixel], lower[i * pixel], weight);
}

/* Samples without their offset at n input pixels, from a blended row. */
TILE_CLONES static void tile_pick(const int *restrict row, const int *restrict first, const int *restrict weight, int n,
                                  int offset, short *restrict out) {
    const int *restrict next = row + 1;
    for (ptrdiff_t i = 0; i < n; i++)
        out[i] = (short)(tile_round(tile_blend(row[first[i]], next[first[i]], weight[i])) -
                         (offset << TILE_SAMPLE_BITS));
}

/* Terms of n pixels from their samples, in place: y becomes luma, u green, v red, and blue is added. */
TILE_CLONES static void tile_terms(short *restrict y, short *restrict u, short *restrict v, short *restrict blue, int n,
                                   TileColour colour) {
    for (ptrdiff_t i = 0; i < n; i++) {
        const short du = u[i], dv = v[i];
        y[i] = tile_luma(colour, y[i]);
        u[i] = tile_green(colour, du, dv);
        v[i] = tile_red(colour, dv);
        blue[i] = tile_blue(colour, du);
    }
}

static const unsigned char *tile_row(TilePlane plane, int x, int y) {
    return plane.data + y * plane.row + x * plane.pixel;
}

/* A rectangle at its own size; frame columns x0 to x1, at most TILE_PIECE of them. */
static void tile_copy_piece(TilePlane y, TilePlane u, TilePlane v, const int *rect, int x0, int x1, TileColour colour,
                            unsigned char *out, long long out_row) {
    short du[TILE_PIECE / 2 + 1], dv[TILE_PIECE / 2 + 1];
    short red[TILE_PIECE + 2], green[TILE_PIECE + 2], blue[TILE_PIECE + 2], luma[TILE_PIECE];
    const int pairs = ((x1 + 1) >> 1) - (x0 >> 1), odd = x0 & 1;
    for (int fy = rect[1]; fy < rect[3]; fy++) {
        if (fy == rect[1] || !(fy & 1)) { /* two rows of luma share one of chroma */
            tile_load_chroma(tile_row(u, x0 >> 1, fy >> 1), u.pixel, pairs, du);
            tile_load_chroma(tile_row(v, x0 >> 1, fy >> 1), v.pixel, pairs, dv);
            tile_chroma(du, dv, pairs, colour, red, green, blue);
        }
        tile_load_luma(tile_row(y, x0, fy), y.pixel, x1 - x0, colour, luma);
        tile_paint(luma, red + odd, green + odd, blue + odd, x1 - x0,
                   out + (fy - rect[1]) * out_row + 3 * (x0 - rect[0]));
    }
}

static void tile_copy(TilePlane y, TilePlane u, TilePlane v, const int *rect, TileColour colour, unsigned char *out,
                      long long out_row) {
    for (int x = rect[0]; x < rect[2]; x += TILE_PIECE)
        tile_copy_piece(y, u, v, rect, x, x + TILE_PIECE < rect[2] ? x + TILE_PIECE : rect[2], colour, out, out_row);
}

/* Columns of the input in the rows of a plane. */
static void tile_columns(const int *rect, int fitted, int step, int limit, int *first, int *weight) {
    for (ptrdiff_t i = 0; i < fitted; i++) {
        const TileTap tap = tile_tap(rect[0], rect[2] - rect[0], fitted, i, step, limit);
        first[i] = tap.first;
        weight[i] = tap.weight;
    }
}

/* The blended row of a plane that input row `py` lies on, from the first to the last sample its columns need. */
static void tile_blended(TilePlane plane, const int *rect, const int *fitted, int py, int step, const int *first,
                         int *out) {
    const TileTap down = tile_tap(rect[1], rect[3] - rect[1], fitted[1], py, step, plane.height);
    const int end = first[fitted[0] - 1] + 2 < plane.width ? first[fitted[0] - 1] + 2 : plane.width;
    tile_blend_rows(tile_row(plane, 0, down.first), tile_row(plane, 0, down.second), plane.pixel, down.weight,
                    first[0], end, out);
    out[end] = 0; /* the right neighbour of the plane's last sample: read, with no weight */
}

static void tile_resize_row(const TileScratch *s, int n, TileColour colour, unsigned char *rgb) {
    short y[TILE_PIECE], u[TILE_PIECE], v[TILE_PIECE], blue[TILE_PIECE];
    for (int x = 0; x < n; x += TILE_PIECE) {
        const int m = n - x < TILE_PIECE ? n - x : TILE_PIECE;
        tile_pick(s->y, s->first + x, s->weight + x, m, colour.black, y);
        tile_pick(s->u, s->c_first + x, s->c_weight + x, m, 128, u);
        tile_pick(s->v, s->c_first + x, s->c_weight + x, m, 128, v);
        tile_terms(y, u, v, blue, m, colour);
        tile_paint(y, v, u, blue, m, rgb + 3 * x);
    }
}

static void tile_resize(TilePlane y, TilePlane u, TilePlane v, const int *rect, const int *fitted, TileColour colour,
                        const TileScratch *s, unsigned char *out, long long out_row) {
    tile_columns(rect, fitted[0], 1, y.width, s->first, s->weight);
    tile_columns(rect, fitted[0], 2, u.width, s->c_first, s->c_weight);
    for (int py = 0; py < fitted[1]; py++) {
        tile_blended(y, rect, fitted, py, 1, s->first, s->y);
        tile_blended(u, rect, fitted, py, 2, s->c_first, s->u);
        tile_blended(v, rect, fitted, py, 2, s->c_first, s->v);
        tile_resize_row(s, fitted[0], colour, out + py * out_row);
    }
}

/* What lies right of and below the picture in a square input of `size`. */
static void tile_pad(const int *fitted, int size, unsigned char *out, long long out_row) {
    for (int py = 0; py < fitted[1]; py++)
        memset(out + py * out_row + 3 * fitted[0], TILE_PADDING, (size_t)3 * (size - fitted[0]));
    for (int py = fitted[1]; py < size; py++)
        memset(out + py * out_row, TILE_PADDING, (size_t)3 * size);
}

/* One whole tile. */
static void tile_cut(TilePlane y, TilePlane u, TilePlane v, const int *rect, const int *fitted, TileColour colour,
                     const TileScratch *s, int size, unsigned char *out) {
    const long long out_row = 3LL * size;
    if (rect[2] - rect[0] == fitted[0] && rect[3] - rect[1] == fitted[1])
        tile_copy(y, u, v, rect, colour, out, out_row);
    else
        tile_resize(y, u, v, rect, fitted, colour, s, out, out_row);
    tile_pad(fitted, size, out, out_row);
}

/* The same pixel by pixel, as a GPU does it: for the test that both ways give the same bytes. */
static void tile_cut_by_pixel(TilePlane y, TilePlane u, TilePlane v, const int *rect, const int *fitted,
                              TileColour colour, int size, unsigned char *out) {
    for (int py = 0; py < size; py++)
        for (int px = 0; px < size; px++)
            tile_pixel(y, u, v, rect, fitted, px, py, colour, out + 3LL * ((long long)py * size + px));
}

#endif
