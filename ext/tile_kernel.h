/* The one sampling and colour function of tilewatch.
 *
 * Plain C when Cython's module includes it, CUDA when NVRTC or nvcc does: integer arithmetic only, so that every
 * processor gives the same bytes. A tile is a rectangle of a frame laid into the top left of a square input:
 *
 *   fitted == the rectangle's size: luma is copied, each chroma sample serves its 2x2 block (frame index x >> 1);
 *   otherwise: bilinear with half-pixel centres (as OpenCV's INTER_LINEAR), luma and chroma each at its own resolution,
 *   chroma sited at the centre of its block. Samples are clamped to the frame and not to the rectangle: the result is
 *   that of resizing the whole frame and cutting afterwards, and neighbouring tiles agree on their common area.
 *
 * No includes: NVRTC has none to offer.
 */
#ifndef TILE_KERNEL_H
#define TILE_KERNEL_H

#ifdef __CUDACC__
#define TILE_FN static __device__ __forceinline__
#else
#define TILE_FN static inline
#endif

#define TILE_PADDING 114
#define TILE_WEIGHT_BITS 11
#define TILE_WEIGHT_ONE (1 << TILE_WEIGHT_BITS)
#define TILE_SAMPLE_BITS 7 /* fraction of a sample: 255 << 7 still fits 16 bits with a sign */
#define TILE_TERM_BITS 5   /* fraction of a colour term: luma plus chroma of any matrix fits 16 bits with a sign */

/* One 8-bit plane; `row` and `pixel` are the steps in bytes (NV12 chroma: pixel 2). */
typedef struct {
    const unsigned char *data;
    long long row, pixel;
    int width, height;
} TilePlane;

/* Colour of a frame: luma of black, and the matrix times 8192 (see native.pixels.colour_terms). */
typedef struct {
    int black, luma, red_v, green_u, green_v, blue_u;
} TileColour;

/* Between which two samples a point lies, and the share of the second one, in 1/2048. */
typedef struct {
    int first, second, weight;
} TileTap;

/* `start`, `span`: the rectangle on this axis, frame pixels; `fitted`: its length in the input; `at`: input pixel;
 * `step`: frame pixels per sample of the plane (luma 1, chroma 2); `limit`: samples of the plane on this axis. */
TILE_FN TileTap tile_tap(int start, int span, int fitted, int at, int step, int limit) {
    const long long unit = 2LL * step * fitted;
    const long long place = 2LL * start * fitted + (2LL * at + 1) * span - (long long)step * fitted;
    TileTap tap = {0, 0, 0};
    if (place <= 0)
        return tap;
    const long long index = place / unit;
    if (index >= limit - 1) {
        tap.first = tap.second = limit - 1;
        return tap;
    }
    tap.first = (int)index;
    tap.second = tap.first + 1;
    tap.weight = (int)(((place - index * unit) * TILE_WEIGHT_ONE + unit / 2) / unit);
    return tap;
}

/* Blend of two values, the second with `weight` of 2048; exact, TILE_WEIGHT_BITS more bits. */
TILE_FN int tile_blend(int first, int second, int weight) {
    return first * (TILE_WEIGHT_ONE - weight) + second * weight;
}

/* From a value blended on both axes to a sample. */
TILE_FN short tile_round(int blended) {
    const int shift = 2 * TILE_WEIGHT_BITS - TILE_SAMPLE_BITS;
    return (short)((blended + (1 << (shift - 1))) >> shift);
}

/* a * b / 2^15, rounded; written so that compilers see the processor's own instruction for it. */
TILE_FN short tile_scale(short a, short b) { return (short)(((((int)a * (int)b) >> 14) + 1) >> 1); }

/* Terms of a colour from samples that have lost their offset (black, or 128 for chroma). */
TILE_FN short tile_luma(TileColour colour, short y) { return tile_scale(y, (short)colour.luma); }
TILE_FN short tile_red(TileColour colour, short v) { return tile_scale(v, (short)colour.red_v); }
TILE_FN short tile_blue(TileColour colour, short u) { return tile_scale(u, (short)colour.blue_u); }
TILE_FN short tile_green(TileColour colour, short u, short v) {
    return (short)-(tile_scale(u, (short)colour.green_u) + tile_scale(v, (short)colour.green_v));
}

/* A luma and a chroma term added up, rounded and clipped to a byte. */
TILE_FN unsigned char tile_byte(short luma, short chroma) {
    const short value = (short)((short)(luma + chroma + (1 << (TILE_TERM_BITS - 1))) >> TILE_TERM_BITS);
    return (unsigned char)(value < 0 ? 0 : value > 255 ? 255 : value);
}

/* RGB from three samples of TILE_SAMPLE_BITS. */
TILE_FN void tile_rgb(TileColour colour, int y, int u, int v, unsigned char *rgb) {
    const short luma = tile_luma(colour, (short)(y - (colour.black << TILE_SAMPLE_BITS)));
    const short du = (short)(u - (128 << TILE_SAMPLE_BITS)), dv = (short)(v - (128 << TILE_SAMPLE_BITS));
    rgb[0] = tile_byte(luma, tile_red(colour, dv));
    rgb[1] = tile_byte(luma, tile_green(colour, du, dv));
    rgb[2] = tile_byte(luma, tile_blue(colour, du));
}

TILE_FN int tile_at(TilePlane plane, int x, int y) { return plane.data[y * plane.row + x * plane.pixel]; }

/* The sample of a plane between four neighbours. */
TILE_FN int tile_between(TilePlane plane, TileTap across, TileTap down) {
    const int upper = tile_blend(tile_at(plane, across.first, down.first), tile_at(plane, across.second, down.first),
                                 across.weight);
    const int lower = tile_blend(tile_at(plane, across.first, down.second), tile_at(plane, across.second, down.second),
                                 across.weight);
    return tile_round(tile_blend(upper, lower, down.weight));
}

/* One RGB pixel (px, py) of a tile's input; `rect` is x0 y0 x1 y1 inside the frame, `fitted` width and height. */
TILE_FN void tile_pixel(TilePlane y, TilePlane u, TilePlane v, const int *rect, const int *fitted, int px, int py,
                        TileColour colour, unsigned char *rgb) {
    const int width = rect[2] - rect[0], height = rect[3] - rect[1];
    if (px >= fitted[0] || py >= fitted[1]) {
        rgb[0] = rgb[1] = rgb[2] = TILE_PADDING;
    } else if (width == fitted[0] && height == fitted[1]) {
        const int fx = rect[0] + px, fy = rect[1] + py;
        tile_rgb(colour, tile_at(y, fx, fy) << TILE_SAMPLE_BITS, tile_at(u, fx >> 1, fy >> 1) << TILE_SAMPLE_BITS,
                 tile_at(v, fx >> 1, fy >> 1) << TILE_SAMPLE_BITS, rgb);
    } else {
        const TileTap across = tile_tap(rect[0], width, fitted[0], px, 1, y.width);
        const TileTap down = tile_tap(rect[1], height, fitted[1], py, 1, y.height);
        const TileTap c_across = tile_tap(rect[0], width, fitted[0], px, 2, u.width);
        const TileTap c_down = tile_tap(rect[1], height, fitted[1], py, 2, u.height);
        tile_rgb(colour, tile_between(y, across, down), tile_between(u, c_across, c_down),
                 tile_between(v, c_across, c_down), rgb);
    }
}

/* How a GPU engine wants one input: three planes of `size` x `size`, each byte looked up in `table` (3, 256), which the
 * host has filled with the engine's own numbers: scale, offset and the rounding to float16 are the host's, and equal
 * everywhere. `half`: entries of 16 bits instead of 32; `bgr`: blue is the first plane. */
typedef struct {
    const void *table;
    int size, half, bgr;
} TileInput;

/* One pixel (px, py) of a tile into its three planes at `out`. */
TILE_FN void tile_input(TilePlane y, TilePlane u, TilePlane v, const int *rect, const int *fitted, int px, int py,
                        TileColour colour, TileInput input, void *out) {
    const long long plane = (long long)input.size * input.size;
    long long at = (long long)py * input.size + px;
    unsigned char rgb[3];
    tile_pixel(y, u, v, rect, fitted, px, py, colour, rgb);
    for (int p = 0; p < 3; p++, at += plane) {
        const int entry = p * 256 + rgb[input.bgr ? 2 - p : p];
        if (input.half)
            ((unsigned short *)out)[at] = ((const unsigned short *)input.table)[entry];
        else
            ((unsigned int *)out)[at] = ((const unsigned int *)input.table)[entry];
    }
}

/* All that a GPU needs to cut tiles: `tiles` (T, 6) holds rect and fitted of each, `out` the inputs one after another. */
typedef struct {
    TilePlane y, u, v;
    TileColour colour;
    TileInput input;
    const int *tiles;
    void *out;
} TileJob;

/* One pixel of tile t of a job: what a thread does. */
TILE_FN void tile_job(TileJob job, int t, int px, int py) {
    const int *tile = job.tiles + 6 * t;
    const long long bytes = 3LL * job.input.size * job.input.size * (job.input.half ? 2 : 4);
    tile_input(job.y, job.u, job.v, tile, tile + 4, px, py, job.colour, job.input, (char *)job.out + t * bytes);
}

#endif
