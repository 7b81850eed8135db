"""What the tracker holds of each object, and the working set of one frame."""

from libc.stdint cimport int32_t, int64_t

cdef extern from "boxes_simd.h" nogil:
    ctypedef struct tilewatch_boxes:
        float* left
        float* top
        float* right
        float* bottom
        float* size
        float* score
        int count

    void tilewatch_overlaps(
        const float* box, const tilewatch_boxes* boxes, float pixel, float extra, float* iou
    ) noexcept

cdef enum:
    TENTATIVE = 1
    TRACKED = 2
    LOST = 4
    RIVALS = 4            # classes a track keeps count of

cdef struct Track:
    double[20] motion     # see kalman.pxd
    double seen           # seconds of the last match
    double[RIVALS] votes  # weight of each rival class, the leading one's first; 0: a free place
    int32_t[RIVALS] rivals
    int64_t id            # 0: none yet
    int64_t born          # frame of the first box
    int64_t last          # frame of the last match
    float score
    int32_t label
    int32_t hits          # boxes taken in
    int32_t status
    int32_t purged        # expired once: goes for good at its next miss
    int32_t matched       # in this frame

cdef struct Rules:
    double match          # limit of the first association
    double buffer         # seconds (own) or frames a lost track is kept
    float high
    float low
    float birth
    float pixel           # 1: areas count whole pixels
    float extra           # added to every union
    int32_t aspect        # the filter's third coordinate is w/h instead of w
    int32_t strict        # a high score is above `high` rather than at least `high`
    int32_t own           # our mode rather than a reference's
    int32_t lock          # a track shows its leading class rather than its last box's

cdef struct Scene:
    const Rules* rules
    Track* tracks         # the tracked and tentative ones, then the lost ones
    int tracked
    int total
    const float* xyxy
    const float* score
    const int32_t* label
    int detections
    int64_t frame
    double now
    int* high             # detections still free
    int highs
    int* low
    int lows
    int* rows             # tracks that take part in an association
    tilewatch_boxes boxes
    float* overlap
    int* first            # pairs of each row, see assign.pxd
    int* column
    double* cost
    int* row_to_col
    int* ints
    double* reals
    int* order
    double* centres
    float* shifts
