"""Merging what overlapping tiles saw of the same objects; the rules are in native/reference/merge.py.

Boxes are rows of left, top, right, bottom in canonical order (surest first). Nothing compares all boxes with all: each
step looks only where a grid says that a partner can lie, or among the few of its tile and class. Boxes that may be
partners stand side by side, by which eight are compared at a time.
"""

from nearby cimport Grid, Kind, column, first_place, hashed, lay_out, power_of_two, put_point, row
from places cimport NOWHERE, Places, put, reserve, settle
from ranking cimport Word, falling, rank
from strips cimport Strips, first_cell, lane, lay_out_strips, long_side, piece, put_box

from libc.math cimport fabs, isfinite
from libc.string cimport memcpy, memset

cdef extern from "merge_simd.h" nogil:
    enum:
        TILEWATCH_BLOCK
    ctypedef struct tilewatch_columns:
        double *left
        double *top
        double *right
        double *bottom
    unsigned int tilewatch_first_bits(Py_ssize_t count) noexcept
    int tilewatch_lowest_bit(unsigned int bits) noexcept
    int tilewatch_bit_count(Word bits) noexcept
    unsigned int tilewatch_alike(
        const double *box, const tilewatch_columns *boxes, Py_ssize_t at, double least
    ) noexcept
    unsigned int tilewatch_touching(const double *box, const tilewatch_columns *boxes, Py_ssize_t at) noexcept

cdef enum:
    LEFT = 0
    TOP = 1
    RIGHT = 2
    BOTTOM = 3

cdef enum:
    PUT_OFF = 128  # hits that wait at most

# Windows are a little wider than exact arithmetic needs.
cdef double SLACK = 1.001
# Width and height of a grid's cells in longer sides of a mean box.
cdef double COLUMN = 0.5
cdef double ROW = 2
# The same of a strip's pieces and lanes.
cdef double PIECE = 0.25
cdef double LANE = 4
# Comparisons a box that are still faster than a grid.
cdef long long EACH = 48


cdef inline double overlap(const double* a, const double* b) noexcept nogil:
    """Return the area two boxes share. The same as max(w, 0) * max(h, 0) without a branch nobody can foresee."""
    cdef double w = min(a[RIGHT], b[RIGHT]) - max(a[LEFT], b[LEFT])
    cdef double h = min(a[BOTTOM], b[BOTTOM]) - max(a[TOP], b[TOP])
    return (w + fabs(w)) * (h + fabs(h)) * 0.25


cdef inline double area(const double* a) noexcept nogil:
    return (a[RIGHT] - a[LEFT]) * (a[BOTTOM] - a[TOP])


cdef inline double longer(const double* a) noexcept nogil:
    return max(a[RIGHT] - a[LEFT], a[BOTTOM] - a[TOP])


cdef inline void common(const double* a, const double* b, double* shared) noexcept nogil:
    """Write the part two boxes have in common; its sides are crossed where there is none."""
    shared[LEFT], shared[TOP] = max(a[LEFT], b[LEFT]), max(a[TOP], b[TOP])
    shared[RIGHT], shared[BOTTOM] = min(a[RIGHT], b[RIGHT]), min(a[BOTTOM], b[BOTTOM])


cdef inline bint wider(const double* a, double least) noexcept nogil:
    return min(a[RIGHT] - a[LEFT], a[BOTTOM] - a[TOP]) > least


cdef struct Columns:
    const double* boxes
    const double* score
    const int* label
    const short* tile
    const int* tile_rank


cdef bint surer(const void* rows, int a, int b) noexcept nogil:
    """Tell whether box a comes before box b."""
    cdef const Columns* c = <const Columns*>rows
    cdef int side
    if c.score[a] != c.score[b]:
        return c.score[a] > c.score[b]
    if c.label[a] != c.label[b]:
        return c.label[a] < c.label[b]
    for side in range(4):
        if c.boxes[4 * a + side] != c.boxes[4 * b + side]:
            return c.boxes[4 * a + side] < c.boxes[4 * b + side]
    return c.tile_rank[c.tile[a]] < c.tile_rank[c.tile[b]]


def order(
    const double[:, ::1] boxes, const double[::1] score, const int[::1] label, const short[::1] tile,
    const int[::1] tile_rank, Word[::1] keyed, int[::1] found,
):
    cdef Py_ssize_t n = boxes.shape[0], tiles = tile_rank.shape[0], i, usable = 0
    cdef const double* box
    cdef Columns columns
    if n == 0 or tiles == 0:
        return 0
    with nogil:
        columns.boxes, columns.score, columns.label = &boxes[0, 0], &score[0], &label[0]
        columns.tile, columns.tile_rank = &tile[0], &tile_rank[0]
        for i in range(n):
            box = &boxes[i, 0]
            if not (box[RIGHT] > box[LEFT] and box[BOTTOM] > box[TOP] and 0 <= tile[i] < tiles):
                continue
            if not isfinite(score[i] + (box[RIGHT] - box[LEFT]) + (box[BOTTOM] - box[TOP])):
                continue
            keyed[usable] = <Word>falling(<float>score[i]) << 32 | <Word>i
            usable += 1
        rank(&keyed[0], &keyed[0] + n, usable, surer, &columns, &found[0])
    return usable


def take(
    const double[:, ::1] boxes, const double[::1] score, const int[::1] label, const short[::1] tile,
    const int[::1] chosen, double[:, ::1] to_boxes, double[::1] to_score, int[::1] to_label, short[::1] to_tile,
):
    cdef Py_ssize_t k, count = chosen.shape[0]
    cdef int i
    if count == 0:
        return
    with nogil:
        for k in range(count):
            i = chosen[k]
            memcpy(&to_boxes[k, 0], &boxes[i, 0], 4 * sizeof(double))
            to_score[k], to_label[k], to_tile[k] = score[i], label[i], tile[i]


cdef inline double spread(Grid* grid, int* room, const double* boxes, Py_ssize_t n) noexcept nogil:
    """Lay out a grid for the boxes' left top corners, with cells of a box's size; return the longest side of any."""
    cdef double left = boxes[LEFT], top = boxes[TOP], right = left, bottom = top, sum_ = 0, longest = 0
    cdef Py_ssize_t i
    for i in range(n):
        left, top = min(left, boxes[4 * i + LEFT]), min(top, boxes[4 * i + TOP])
        right, bottom = max(right, boxes[4 * i + LEFT]), max(bottom, boxes[4 * i + TOP])
        sum_ += longer(boxes + 4 * i)
        longest = max(longest, longer(boxes + 4 * i))
    lay_out(grid, room, n, left, top, max(right - left, bottom - top), COLUMN * sum_ / n, ROW * sum_ / n)
    return longest


cdef struct Window:
    # Where the left top corner of a box's partner can lie, in widths and heights of the box, and pixels on top.
    double before
    double after
    double extra


cdef inline void window_of_iou(Window* window, double least) noexcept nogil:
    """Of two boxes with this IoU, the left sides are at most 1 - least of the longer one apart, which is at most
    1 / least times as long as the other."""
    least = max(least, 1e-9)
    window.before, window.after = max(1 - least, 0) / least * SLACK, max(1 - least, 0) * SLACK
    window.extra = 0


cdef struct Cells:
    int left
    int top
    int right
    int bottom


cdef inline Cells cells(const Grid* grid, const Window* window, const double* box) noexcept nogil:
    """Return the columns and rows that a box's window touches."""
    cdef Cells found
    cdef double width = box[RIGHT] - box[LEFT], height = box[BOTTOM] - box[TOP]
    found.left = column(grid, box[LEFT] - window.before * width - window.extra)
    found.top = row(grid, box[TOP] - window.before * height - window.extra)
    found.right = column(grid, box[LEFT] + window.after * width)
    found.bottom = row(grid, box[TOP] + window.after * height)
    return found


cdef inline Kind kind_of(int tile, int label) noexcept nogil:
    return <Kind>tile << 32 | <unsigned int>label


cdef inline void set_side_by_side(tilewatch_columns* columns, double* room, Py_ssize_t n) noexcept nogil:
    """Prepare for n boxes. `room` holds 4 (n + TILEWATCH_BLOCK)."""
    columns.left, columns.top = room, room + n + TILEWATCH_BLOCK
    columns.right, columns.bottom = room + 2 * (n + TILEWATCH_BLOCK), room + 3 * (n + TILEWATCH_BLOCK)


cdef inline void stand(const tilewatch_columns* columns, Py_ssize_t at, const double* box) noexcept nogil:
    """Write a box to its place among those side by side."""
    columns.left[at], columns.top[at] = box[LEFT], box[TOP]
    columns.right[at], columns.bottom[at] = box[RIGHT], box[BOTTOM]


cdef inline void read_back(const tilewatch_columns* columns, Py_ssize_t at, double* box) noexcept nogil:
    box[LEFT], box[TOP] = columns.left[at], columns.top[at]
    box[RIGHT], box[BOTTOM] = columns.right[at], columns.bottom[at]


cdef struct Doubles:
    # What suppression compares, and by how much two may overlap.
    const double* boxes
    const int* label
    const int* tile
    double threshold
    bint smaller


cdef inline bint overlaps(Doubles rule, const double* box, double size, const double* other) noexcept nogil:
    """Tell whether a box of that size and another one share more than the threshold."""
    cdef double shared = overlap(box, other), sizes = area(other)
    return shared > rule.threshold * (min(size, sizes) if rule.smaller else size + sizes - shared)


cdef inline bint of_a_kind(Doubles rule, Py_ssize_t i, Py_ssize_t j) noexcept nogil:
    return rule.tile[i] == rule.tile[j] and rule.label[i] == rule.label[j]


cdef inline long long put_by_kind(Places* kinds, int* room, Doubles rule, Py_ssize_t n) noexcept nogil:
    """Put boxes of one kind to one place; return how many comparisons of two that makes."""
    cdef int shift
    cdef Py_ssize_t i, place, size = power_of_two(n // 2, &shift)
    cdef long long comparisons = 0
    reserve(kinds, room, size, n)
    for i in range(n):
        place = hashed(kind_of(rule.tile[i], rule.label[i]), 0, shift)
        comparisons += kinds.start[place]
        put(kinds, i, place)
    return comparisons


cdef inline void suppress_within_kinds(
    Doubles rule, const Places* kinds, Py_ssize_t n, double* room, unsigned char* keep
) noexcept nogil:
    """Compare each box with all later ones of its kind."""
    cdef Py_ssize_t at, block, end
    cdef int i, j
    cdef unsigned int alike
    cdef tilewatch_columns columns
    cdef const double* box
    cdef double least = rule.threshold / SLACK
    set_side_by_side(&columns, room, n)
    for at in range(n):
        stand(&columns, at, rule.boxes + 4 * kinds.item[at])
    for at in range(n):
        i = kinds.item[at]
        if not keep[i]:
            continue
        box, block, end = rule.boxes + 4 * i, at + 1, kinds.start[kinds.of_item[i] + 1]
        while True:  # once at least: that costs less than to ask whether there is a later one
            if rule.smaller:
                alike = tilewatch_touching(box, &columns, block)
            else:
                alike = tilewatch_alike(box, &columns, block, least)
            alike &= tilewatch_first_bits(end - block)
            while alike:
                j = kinds.item[block + tilewatch_lowest_bit(alike)]
                alike &= alike - 1
                if overlaps(rule, box, area(box), rule.boxes + 4 * j) and of_a_kind(rule, i, j):
                    keep[j] = 0
            block += TILEWATCH_BLOCK
            if block >= end:
                break


cdef inline void suppress_nearby(Doubles rule, Py_ssize_t n, int* room, unsigned char* keep) noexcept nogil:
    """Compare each box with the later ones near it."""
    cdef Py_ssize_t i, j, at, place
    cdef int r
    cdef Grid grid
    cdef Window window
    cdef Cells near
    cdef double longest = spread(&grid, room, rule.boxes, n), size
    cdef const double* box
    cdef const Places* places = &grid.places
    window_of_iou(&window, rule.threshold)
    if rule.smaller:  # a share of the smaller box says nothing of the larger one's size
        window.before, window.after, window.extra = 0, 1, longest
    for i in range(n):
        box = rule.boxes + 4 * i
        put_point(&grid, i, kind_of(rule.tile[i], rule.label[i]), box[LEFT], box[TOP])
    settle(&grid.places, n)
    for i in range(n):
        if not keep[i]:
            continue
        box = rule.boxes + 4 * i
        size = area(box)
        near = cells(&grid, &window, box)
        for r in range(near.top, near.bottom + 1):
            place = first_place(&grid, kind_of(rule.tile[i], rule.label[i]), r)
            for at in range(places.start[place + near.left], places.start[place + near.right + 1]):
                j = places.item[at]
                if (j > i) & overlaps(rule, box, size, rule.boxes + 4 * j) and of_a_kind(rule, i, j):
                    keep[j] = 0


def suppress(
    const double[:, ::1] boxes, const int[::1] label, const int[::1] tile, double threshold, bint smaller,
    int[::1] room, double[::1] columns, unsigned char[::1] keep, int[::1] kept,
):
    cdef Py_ssize_t n = boxes.shape[0], i, left = 0
    cdef Places kinds
    cdef Doubles rule
    if n == 0:
        return 0
    with nogil:
        rule.boxes, rule.label, rule.tile = &boxes[0, 0], &label[0], &tile[0]
        rule.threshold, rule.smaller = threshold, smaller
        memset(&keep[0], 1, n)
        if put_by_kind(&kinds, &room[0], rule, n) <= EACH * n:
            settle(&kinds, n)
            suppress_within_kinds(rule, &kinds, n, &columns[0], &keep[0])
        else:
            suppress_nearby(rule, n, &room[0], &keep[0])
        for i in range(n):
            kept[left] = <int>i
            left += keep[i]
    return left


def meet(
    const double[:, ::1] rects, int[::1] first, int[::1] other, int[::1] strip, double[:, ::1] sides,
    int[:, ::1] number, double[:, ::1] areas,
):
    cdef Py_ssize_t tiles = rects.shape[0], s, t, side, found = 0, strips = 0
    cdef double shared[4]
    with nogil:
        for s in range(tiles):
            first[s] = <int>found
            for t in range(tiles):
                common(&rects[s, 0], &rects[t, 0], shared)
                if s == t or not wider(shared, 0):
                    continue
                if t > s:
                    number[s, t] = number[t, s] = <int>strips
                    for side in range(4):
                        areas[strips, side] = shared[side]
                    strips += 1
                other[found], strip[found] = <int>t, number[s, t]
                for side in range(4):
                    sides[side, found] = rects[t, side]
                found += 1
        first[tiles] = <int>found
    return strips


cdef inline bint beyond(const double* box, const double* rect) noexcept nogil:
    return box[LEFT] < rect[LEFT] or box[TOP] < rect[TOP] or box[RIGHT] > rect[RIGHT] or box[BOTTOM] > rect[BOTTOM]


cdef inline int write_cut_sides(
    const double* box, const double* rect, double margin, const unsigned char* inner, unsigned char* cut
) noexcept nogil:
    """Write which sides of a box are cut; return how many."""
    cdef int side, cuts = 0
    cdef unsigned char found[4]
    for side in range(4):
        found[side] = (fabs(box[side] - rect[side]) <= margin) & inner[side]
        cuts += found[side]
    memcpy(cut, found, 4)
    return cuts


cdef struct Hits:
    # What a box has found in a block. They are gathered and seen to later: a search that waits for none of them runs
    # several boxes ahead.
    int box
    int block
    unsigned int bits


cdef struct Sharing:
    # Boxes, tiles, and the parts found so far: those in strips with a later tile come from the front, those with an
    # earlier one from the end.
    const double* boxes
    const short* tile
    const double* rects
    const int* other
    const int* strip
    double least
    double* part
    int* whose
    Py_ssize_t room
    Py_ssize_t front
    Py_ssize_t back


cdef inline void write_parts(Sharing* sharing, const Hits* hits) noexcept nogil:
    cdef int i = hits.box, s = sharing.tile[i]
    cdef unsigned int seen = hits.bits
    cdef Py_ssize_t k, place
    cdef bint later
    cdef double clipped[4]
    while seen:
        k = hits.block + tilewatch_lowest_bit(seen)
        seen &= seen - 1
        common(sharing.boxes + 4 * i, sharing.rects + 4 * sharing.other[k], clipped)
        common(clipped, sharing.rects + 4 * s, clipped)
        if not wider(clipped, sharing.least):
            continue
        later = sharing.other[k] > s
        if sharing.front + sharing.back < sharing.room:
            place = sharing.front if later else sharing.room - 1 - sharing.back
            memcpy(sharing.part + 4 * place, clipped, sizeof(clipped))
            sharing.whose[2 * place], sharing.whose[2 * place + 1] = i, sharing.strip[k]
        sharing.front += later
        sharing.back += not later


def share(
    const double[:, ::1] boxes, const short[::1] tile, const double[:, ::1] rects, const double[::1] margin,
    const unsigned char[:, ::1] inner, const int[::1] first, const int[::1] other, const int[::1] strip,
    const double[:, ::1] sides, double least, unsigned char[:, ::1] cut, unsigned char[::1] cuts,
    unsigned char[::1] inside, double[:, ::1] part, int[:, ::1] whose,
):
    cdef Py_ssize_t n = boxes.shape[0], i, k, hits = 0
    cdef int s, block, end
    cdef unsigned int seen
    cdef const double* box
    cdef Sharing sharing
    cdef Hits hit[PUT_OFF]
    cdef tilewatch_columns others
    if n == 0:
        return 0, 0
    with nogil:
        sharing.boxes, sharing.tile, sharing.rects = &boxes[0, 0], &tile[0], &rects[0, 0]
        sharing.other, sharing.strip, sharing.least = &other[0], &strip[0], least
        sharing.part, sharing.whose, sharing.room = &part[0, 0], &whose[0, 0], part.shape[0]
        sharing.front, sharing.back = 0, 0
        others.left, others.top = <double*>&sides[LEFT, 0], <double*>&sides[TOP, 0]
        others.right, others.bottom = <double*>&sides[RIGHT, 0], <double*>&sides[BOTTOM, 0]
        for i in range(n):
            s, box = tile[i], &boxes[i, 0]
            cuts[i] = write_cut_sides(box, &rects[s, 0], margin[s], &inner[s, 0], &cut[i, 0])
            inside[i] = not beyond(box, &rects[s, 0])
            block, end = first[s], first[s + 1]
            while block < end:
                seen = tilewatch_touching(box, &others, block) & tilewatch_first_bits(end - block)
                inside[i] &= seen == 0
                hit[hits].box, hit[hits].block, hit[hits].bits = <int>i, block, seen
                hits += seen != 0
                block += TILEWATCH_BLOCK
                if hits == PUT_OFF:
                    for k in range(hits):
                        write_parts(&sharing, &hit[k])
                    hits = 0
        for k in range(hits):
            write_parts(&sharing, &hit[k])
    return sharing.front, sharing.back


cdef inline double mean_length(const double* boxes, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    cdef double sum_ = 0
    for i in range(n):
        sum_ += longer(boxes + 4 * i)
    return sum_ / n


cdef struct Linking:
    # Parts that look for a partner, those side by side that may be one, and the links found so far.
    const double* part
    const int* whose
    const tilewatch_columns* columns
    const int* box_of     # (columns,)
    const int* label
    const unsigned char* cuts
    double same
    double other
    double discount
    int* pairs
    double* weight
    Py_ssize_t most
    Py_ssize_t found


cdef inline void write_links(Linking* linking, const Hits* hits) noexcept nogil:
    cdef unsigned int alike = hits.bits
    cdef int i = linking.whose[2 * hits.box], j
    cdef const double* a = linking.part + 4 * <Py_ssize_t>hits.box
    cdef double b[4]
    cdef double value
    cdef Py_ssize_t at
    while alike:
        at = hits.block + tilewatch_lowest_bit(alike)
        alike &= alike - 1
        j = linking.box_of[at]
        read_back(linking.columns, at, b)
        value = overlap(a, b)
        value /= area(a) + area(b) - value
        if linking.label[i] != linking.label[j]:
            value = value * linking.discount if value >= linking.other and (linking.cuts[i] or linking.cuts[j]) else 0
        if value < linking.same:
            continue
        if linking.found < linking.most:
            linking.pairs[2 * linking.found], linking.pairs[2 * linking.found + 1] = min(i, j), max(i, j)
            linking.weight[linking.found] = value
        linking.found += 1


cdef inline Cells cells_of_strip(
    const Strips* strips, int strip, const Window* window, const double* box
) noexcept nogil:
    """Return the pieces (left to right) and lanes (top to bottom) that a box's window touches."""
    cdef Cells found
    cdef int side = long_side(strips.areas + 4 * strip)
    cdef double length = box[side + 2] - box[side], width = box[3 - side] - box[1 - side]
    found.left = piece(strips, strip, box[side] - window.before * length)
    found.right = piece(strips, strip, box[side] + window.after * length)
    found.top = lane(strips, strip, box[1 - side] - window.before * width)
    found.bottom = lane(strips, strip, box[1 - side] + window.after * width)
    return found


def link(
    const int[::1] label, const unsigned char[::1] cuts, const double[:, ::1] part, const int[:, ::1] whose,
    Py_ssize_t front, Py_ssize_t back, const double[:, ::1] areas, double same, double other, double discount,
    int[::1] room, double[::1] side_by_side, int[:, ::1] pairs, double[::1] weight,
):
    """Write the links between boxes of different tiles and return how many there are, also beyond the room given."""
    cdef Py_ssize_t e, k, at, end, hits = 0
    cdef Strips strips
    cdef tilewatch_columns columns
    cdef Linking linking
    cdef Hits hit[PUT_OFF]
    cdef Window window
    cdef Cells near
    cdef int r, strip
    cdef unsigned int alike
    cdef double length, least = same / SLACK
    if front == 0 or back == 0:
        return 0
    with nogil:
        length = mean_length(&part[0, 0], front)
        strips.areas, strips.count = &areas[0, 0], areas.shape[0]
        lay_out_strips(&strips, &room[0], front, PIECE * length, LANE * length)
        for e in range(front):
            put_box(&strips, e, whose[e, 1], &part[e, 0])
        settle(&strips.cells, front)
        set_side_by_side(&columns, &side_by_side[0], front)
        for at in range(front):
            e = strips.cells.item[at]
            stand(&columns, at, &part[e, 0])
            strips.cells.item[at] = whose[e, 0]
        linking.part, linking.whose, linking.columns = &part[0, 0], &whose[0, 0], &columns
        linking.box_of, linking.label, linking.cuts = strips.cells.item, &label[0], &cuts[0]
        linking.same, linking.other, linking.discount = same, other, discount
        linking.pairs, linking.weight, linking.most, linking.found = &pairs[0, 0], &weight[0], pairs.shape[0], 0
        window_of_iou(&window, same)
        for e in range(part.shape[0] - back, part.shape[0]):
            strip = whose[e, 1]
            near = cells_of_strip(&strips, strip, &window, &part[e, 0])
            for r in range(near.top, near.bottom + 1):
                at = strips.cells.start[first_cell(&strips, strip, r) + near.left]
                end = strips.cells.start[first_cell(&strips, strip, r) + near.right + 1]
                while at < end:
                    alike = tilewatch_alike(&part[e, 0], &columns, at, least) & tilewatch_first_bits(end - at)
                    hit[hits].box, hit[hits].block, hit[hits].bits = <int>e, <int>at, alike
                    hits += alike != 0
                    at += TILEWATCH_BLOCK
                    if hits == PUT_OFF:
                        for k in range(hits):
                            write_links(&linking, &hit[k])
                        hits = 0
        for k in range(hits):
            write_links(&linking, &hit[k])
    return linking.found


cdef struct Links:
    const int* pairs
    const double* weight


cdef bint stronger(const void* rows, int a, int b) noexcept nogil:
    """Tell whether link a comes before link b."""
    cdef const Links* links = <const Links*>rows
    if links.weight[a] != links.weight[b]:
        return links.weight[a] > links.weight[b]
    if links.pairs[2 * a] != links.pairs[2 * b]:
        return links.pairs[2 * a] < links.pairs[2 * b]
    return links.pairs[2 * a + 1] < links.pairs[2 * b + 1]


cdef inline int root(int* parent, int i) noexcept nogil:
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


def group(
    const short[::1] tile, const int[:, ::1] pairs, const double[::1] weight, Word[::1] keyed, int[::1] ranked,
    unsigned long long[:, ::1] seen, int[::1] parent,
):
    """Join linked boxes, best link first, as long as no group gets two boxes of one tile.

    `seen` has one bit for every tile a group has a box of; `parent` ends as the group of every box.
    """
    cdef Py_ssize_t m = pairs.shape[0], words = seen.shape[1], n = parent.shape[0], e, w
    cdef int a, b, i
    cdef bint clash
    cdef Links links
    with nogil:
        for i in range(n):
            parent[i] = i
            for w in range(words):
                seen[i, w] = 0
            seen[i, tile[i] >> 6] = <Word>1 << (tile[i] & 63)
    if m == 0:
        return
    with nogil:
        links.pairs, links.weight = &pairs[0, 0], &weight[0]
        for e in range(m):
            keyed[e] = <Word>falling(<float>weight[e]) << 32 | <Word>e
        rank(&keyed[0], &keyed[0] + m, m, stronger, &links, &ranked[0])
        for e in range(m):
            a, b = root(&parent[0], pairs[ranked[e], 0]), root(&parent[0], pairs[ranked[e], 1])
            if a == b:
                continue
            clash = False
            for w in range(words):
                clash = clash or (seen[a, w] & seen[b, w]) != 0
            if clash:
                continue
            if b < a:
                a, b = b, a
            parent[b] = a
            for w in range(words):
                seen[a, w] |= seen[b, w]
        for i in range(n):  # parents come first, so the parent's is already the group
            parent[i] = parent[parent[i]]


cdef inline void weigh(double* sums, const double* box, const unsigned char* cut, double trust) noexcept nogil:
    """Add a box's sides to the four sums, and its weights to the four behind them, where it is not cut."""
    cdef int side
    cdef double uncut
    for side in range(4):
        uncut = trust * (1 - cut[side])
        sums[side] += uncut * box[side]
        sums[4 + side] += uncut


def fuse(
    const double[:, ::1] boxes, const double[::1] score, const int[::1] label, const short[::1] tile,
    const double[::1] tile_trust, double trust_cut, const unsigned char[:, ::1] cut, const unsigned char[::1] cuts,
    const unsigned char[::1] inside, const int[::1] parent, int[::1] room, double[:, :, ::1] sums,
    double[:, ::1] fused, double[::1] fused_score, int[::1] fused_label, short[::1] fused_tile, int[::1] fragment,
    int[::1] head, unsigned char[::1] shut,
):
    """Rebuild one box a group and return how many groups there are, in the order of their first members."""
    cdef Py_ssize_t n = boxes.shape[0], groups = 0, joins = 0, slots = 0, i, g, s, k
    cdef int b
    cdef int* place = &room[0]
    cdef int* joining = place + n
    cdef int* slot = joining + n
    cdef int* best = slot + n
    cdef int* rebuilt = best + n // 2
    cdef bint first, better
    cdef double trust
    cdef double trust_of[2]
    with nogil:
        trust_of[0], trust_of[1] = 1, trust_cut
        for i in range(n):  # what is written for a later member gives way to the next group
            first = parent[i] == i
            place[i], joining[joins], slot[groups] = <int>groups, <int>i, NOWHERE
            memcpy(&fused[groups, 0], &boxes[i, 0], 4 * sizeof(double))
            fused_score[groups], fused_label[groups], fused_tile[groups] = score[i], label[i], tile[i]
            head[groups], fragment[groups], shut[groups] = <int>i, tile[i] if cuts[i] else NOWHERE, inside[i]
            groups += first
            joins += not first
        for k in range(joins):
            i = joining[k]
            g = place[parent[i]]
            if slot[g] == NOWHERE:
                slot[g], best[slots], rebuilt[slots] = <int>slots, head[g], <int>g
                memset(&sums[slots, 0, 0], 0, 8 * sizeof(double))
                b = head[g]
                trust = score[b] * (tile_trust[tile[b]] * trust_of[cuts[b] > 0])
                weigh(&sums[slots, 0, 0], &boxes[b, 0], &cut[b, 0], trust)
                slots += 1
            b = best[slot[g]]
            better = (cuts[i] < cuts[b]) | ((cuts[i] == cuts[b]) & (score[i] > score[b]))
            best[slot[g]] = <int>i if better else b
            fused_score[g] = max(fused_score[g], score[i])
            for s in range(2):
                fused[g, s] = min(fused[g, s], boxes[i, s])
                fused[g, 2 + s] = max(fused[g, 2 + s], boxes[i, 2 + s])
            trust = score[i] * (tile_trust[tile[i]] * trust_of[cuts[i] > 0])
            weigh(&sums[slot[g], 0, 0], &boxes[i, 0], &cut[i, 0], trust)
        for k in range(slots):
            g, b = rebuilt[k], best[k]
            fused_label[g], fused_tile[g], fragment[g], shut[g] = label[b], tile[b], NOWHERE, 0
            fused_score[g] = fused_score[g] if cuts[b] else score[b]
            for s in range(4):
                if sums[k, 1, s] > 0:
                    fused[g, s] = sums[k, 0, s] / sums[k, 1, s]
    return groups


cdef inline bint explains(
    const double* box, const double* fragment, const double* rect, double contained, double shown,
) noexcept nogil:
    """Tell whether a fragment that the tile `rect` saw is a part of a box."""
    cdef double shared = overlap(box, fragment), size = area(fragment), visible
    if shared < contained * size or area(box) < size:
        return False
    visible = overlap(box, rect)
    return visible > 0 and shared >= shown * visible


def explain(
    const double[:, ::1] boxes, const int[::1] label, const int[::1] fragment, const int[::1] head,
    const unsigned char[::1] shut, const unsigned long long[:, ::1] seen, const double[:, ::1] rects,
    double contained, double shown, int[::1] room, unsigned char[::1] keep, int[::1] kept,
):
    cdef Py_ssize_t n = boxes.shape[0], f, o, at, place, k, seeking, fragments = 0, left = 0
    cdef Grid grid
    cdef Window window
    cdef Cells near
    cdef int t, r
    cdef bint again
    if n == 0:
        return 0
    with nogil:
        memset(&keep[0], 1, n)
        window.before, window.after, window.extra = (1 - contained) / contained * SLACK, 1, 0
        spread(&grid, &room[0], &boxes[0, 0], n)
        for f in range(n):
            if fragment[f] >= 0:
                put_point(&grid, f, <unsigned int>label[f], boxes[f, LEFT], boxes[f, TOP])
                fragments += 1
            else:
                grid.places.of_item[f] = NOWHERE
        if fragments > 0:
            settle(&grid.places, n)
        for again in range(2 if fragments > 0 else 0):
            # Fragments fall from the surest on, and one that has fallen explains no later one: so first all that is
            # explained by what cannot fall before it, then the rest.
            seeking = 0
            for o in range(n):
                kept[seeking] = <int>o
                seeking += (fragment[o] >= 0) & keep[o] if again else not shut[o]
            for k in range(seeking):
                o = kept[k]
                if not keep[o] and again:
                    continue
                near = cells(&grid, &window, &boxes[o, 0])
                for r in range(near.top, near.bottom + 1):
                    place = first_place(&grid, <unsigned int>label[o], r)
                    for at in range(grid.places.start[place + near.left], grid.places.start[place + near.right + 1]):
                        f = grid.places.item[at]
                        t = fragment[f]
                        if f == o or not keep[f] or label[o] != label[f] or (seen[head[o], t >> 6] >> (t & 63)) & 1:
                            continue
                        if again != (fragment[o] >= 0 and o < f):
                            continue
                        if explains(&boxes[o, 0], &boxes[f, 0], &rects[t, 0], contained, shown):
                            keep[f] = 0
        for o in range(n):
            kept[left] = <int>o
            left += keep[o]
    return left


cdef inline bint within(const double* box, const double* rect) noexcept nogil:
    return box[LEFT] > rect[LEFT] and box[TOP] > rect[TOP] and box[RIGHT] < rect[RIGHT] and box[BOTTOM] < rect[BOTTOM]


def doubt(
    const double[:, ::1] boxes, const short[::1] tile, const int[::1] head, const unsigned char[::1] shut,
    const unsigned long long[:, ::1] seen, const double[:, ::1] whole, const unsigned char[::1] current,
    const int[::1] first, const int[::1] other, double denied, double[::1] score,
):
    cdef Py_ssize_t n = boxes.shape[0], words = seen.shape[1], g, k, w
    cdef int balance, t
    with nogil:
        for g in range(n):
            if shut[g]:
                continue
            balance = 0
            # Whoever sees an object whole shares pixels with the tile of its surest box.
            for k in range(first[tile[g]], first[tile[g] + 1]):
                t = other[k]
                if current[t] and within(&boxes[g, 0], &whole[t, 0]) and not (seen[head[g], t >> 6] >> (t & 63)) & 1:
                    balance += 1
            if balance == 0:
                continue
            for w in range(words):
                balance -= tilewatch_bit_count(seen[head[g], w])
            if balance >= 0:
                score[g] *= denied
