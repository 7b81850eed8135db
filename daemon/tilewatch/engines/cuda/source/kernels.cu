/* The entry points of the GPU. What a thread does is in the headers, which the CPU's core is compiled from too. */
#include "head_kernel.h"
#include "tile_kernel.h"

/* Grid: blocks over x, y and the tiles of one frame. */
extern "C" __global__ void tilewatch_cut(TileJob job) {
    const int px = blockIdx.x * blockDim.x + threadIdx.x, py = blockIdx.y * blockDim.y + threadIdx.y;
    if (px < job.input.size && py < job.input.size)
        tile_job(job, blockIdx.z, px, py);
}

/* Grid: blocks over the anchors and the tiles of one call. */
extern "C" __global__ void tilewatch_filter(HeadFilter filter) {
    const int a = blockIdx.x * blockDim.x + threadIdx.x;
    if (a < filter.anchors)
        head_filter(filter, blockIdx.y, a);
}
