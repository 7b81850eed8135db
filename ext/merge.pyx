"""Merging what overlapping tiles saw of the same objects; the rules are in native/reference/merge.py.

Boxes are rows of left, top, right, bottom in canonical order (surest first). Nothing compares all boxes with all: each
step looks only where a grid says that a partner can lie.
"""

from nearby cimport NOWHERE, Grid, Kind, column, first_place, lay_out, put, row, settle
from ranking cimport Word, falling, rank

from libc.math cimport fabs, isfinite
from libc.string cimport memset

cdef enum:
    LEFT = 0
    TOP = 1
    RIGHT = 2
    BOTTOM = 3

# Windows are a little wider than exact arithmetic needs.
cdef double SLACK = 1.001
# Width and height of a grid's cells in longer sides of a mean box.
cdef double COLUMN = 0.5
cdef double ROW = 2


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


def suppress(
    const double[:, ::1] boxes, const int[::1] label, const int[::1] tile, double threshold, bint smaller,
    int[::1] room, unsigned char[::1] keep, int[::1] kept,
):
    cdef Py_ssize_t n = boxes.shape[0], i, j, at, place, left = 0
    cdef Grid grid
    cdef Window window
    cdef Cells near
    cdef int r
    cdef double shared, size, other, longest
    if n == 0:
        return 0
    with nogil:
        memset(&keep[0], 1, n)
        longest = spread(&grid, &room[0], &boxes[0, 0], n)
        window_of_iou(&window, threshold)
        if smaller:  # a share of the smaller box says nothing of the larger one's size
            window.before, window.after, window.extra = 0, 1, longest
        for i in range(n):
            put(&grid, i, kind_of(tile[i], label[i]), boxes[i, LEFT], boxes[i, TOP])
        settle(&grid, n)
        for i in range(n):
            if not keep[i]:
                continue
            near = cells(&grid, &window, &boxes[i, 0])
            size = area(&boxes[i, 0])
            for r in range(near.top, near.bottom + 1):
                place = first_place(&grid, kind_of(tile[i], label[i]), r)
                for at in range(grid.start[place + near.left], grid.start[place + near.right + 1]):
                    j = grid.item[at]
                    shared, other = overlap(&boxes[i, 0], &boxes[j, 0]), area(&boxes[j, 0])
                    if (j > i) & (shared > threshold * (min(size, other) if smaller else size + other - shared)):
                        if tile[i] == tile[j] and label[i] == label[j]:
                            keep[j] = 0
            kept[left] = <int>i
            left += 1
    return left


cdef inline Py_ssize_t list_neighbours(const double* rects, Py_ssize_t tiles, int* neighbours) noexcept nogil:
    """Write which tiles share pixels with each: where a tile's list begins (tiles + 1), then the lists."""
    cdef Py_ssize_t s, t, end = tiles + 1
    cdef double shared[4]
    for s in range(tiles):
        neighbours[s] = <int>end
        for t in range(tiles):
            common(rects + 4 * s, rects + 4 * t, shared)
            if s != t and wider(shared, 0):
                neighbours[end] = <int>t
                end += 1
    neighbours[tiles] = <int>end
    return end


cdef inline bint beyond(const double* box, const double* rect) noexcept nogil:
    return box[LEFT] < rect[LEFT] or box[TOP] < rect[TOP] or box[RIGHT] > rect[RIGHT] or box[BOTTOM] > rect[BOTTOM]


def share(
    const double[:, ::1] boxes, const short[::1] tile, const double[:, ::1] rects, const double[::1] margin,
    const unsigned char[:, ::1] inner, double strip, int[::1] neighbours, unsigned char[:, ::1] cut,
    unsigned char[::1] cuts, unsigned char[::1] inside, double[:, ::1] part, int[:, ::1] whose,
):
    cdef Py_ssize_t n = boxes.shape[0], tiles = rects.shape[0], room = part.shape[0], found = 0, i, k, s, side
    cdef double seen[4]
    cdef double clipped[4]
    with nogil:
        list_neighbours(&rects[0, 0], tiles, &neighbours[0])
        for i in range(n):
            s = tile[i]
            cuts[i], inside[i] = 0, not beyond(&boxes[i, 0], &rects[s, 0])
            for side in range(4):
                cut[i, side] = (fabs(boxes[i, side] - rects[s, side]) <= margin[s]) & inner[s, side]
                cuts[i] += cut[i, side]
            for k in range(neighbours[s], neighbours[s + 1]):
                common(&boxes[i, 0], &rects[neighbours[k], 0], seen)
                if not wider(seen, 0):
                    continue
                inside[i] = 0
                common(seen, &rects[s, 0], clipped)
                if not wider(clipped, strip):
                    continue
                if found < room:
                    for side in range(4):
                        part[found, side] = clipped[side]
                    whose[found, 0], whose[found, 1] = <int>i, neighbours[k]
                found += 1
    return found


def link(
    const int[::1] label, const short[::1] tile, const unsigned char[::1] cuts, const double[:, ::1] part,
    const int[:, ::1] whose, double same, double other, double discount, int[::1] room, int[:, ::1] pairs,
    double[::1] weight,
):
    """Write the links between boxes of different tiles and return how many there are, also beyond the room given."""
    cdef Py_ssize_t n = part.shape[0], most = pairs.shape[0], found = 0, e, f, k, at, place
    cdef Kind seeks
    cdef Kind SEEKING = <Kind>1 << 60
    cdef Grid grid
    cdef Window window
    cdef Cells near
    cdef int i, j, r
    cdef double value, union_, size, least = same / SLACK  # spares the rest a division
    if n == 0:
        return 0
    with nogil:
        spread(&grid, &room[0], &part[0, 0], n)
        window_of_iou(&window, same)
        for e in range(n):  # all of them: those that look for partners then come by in the order of their places
            i = whose[e, 0]
            seeks = tile[i] > whose[e, 1]
            put(&grid, e, SEEKING * seeks + kind_of(tile[i], whose[e, 1]), part[e, LEFT], part[e, TOP])
        settle(&grid, n)
        for k in range(n):
            e = grid.item[k]
            i = whose[e, 0]
            if tile[i] < whose[e, 1]:
                continue
            near = cells(&grid, &window, &part[e, 0])
            size = area(&part[e, 0])
            for r in range(near.top, near.bottom + 1):
                place = first_place(&grid, kind_of(whose[e, 1], tile[i]), r)
                for at in range(grid.start[place + near.left], grid.start[place + near.right + 1]):
                    f = grid.item[at]
                    value, union_ = overlap(&part[e, 0], &part[f, 0]), size + area(&part[f, 0])
                    union_ -= value
                    if value < least * union_:
                        continue
                    value /= union_
                    j = whose[f, 0]
                    if tile[j] != whose[e, 1] or whose[f, 1] != tile[i] or row(&grid, part[f, TOP]) != r:
                        continue
                    if label[i] != label[j]:
                        value = value * discount if value >= other and (cuts[i] or cuts[j]) else 0
                    if value < same:
                        continue
                    if found < most:
                        pairs[found, 0], pairs[found, 1], weight[found] = min(i, j), max(i, j), value
                    found += 1
    return found


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
        for i in range(n):
            parent[i] = root(&parent[0], i)


def fuse(
    const double[:, ::1] boxes, const double[::1] score, const int[::1] label, const short[::1] tile,
    const double[::1] tile_trust, double trust_cut, const unsigned char[:, ::1] cut, const unsigned char[::1] cuts,
    const unsigned char[::1] inside, const int[::1] parent, int[::1] room, double[:, :, ::1] sums,
    double[:, ::1] fused, double[::1] fused_score, int[::1] fused_label, short[::1] fused_tile, int[::1] fragment,
    int[::1] head, unsigned char[::1] shut,
):
    """Rebuild one box a group and return how many groups there are, in the order of their first members."""
    cdef Py_ssize_t n = boxes.shape[0], groups = 0, i, g, s
    cdef int b
    cdef double trust, uncut
    cdef int* place = &room[0]
    cdef int* members = place + n
    cdef int* best = members + n
    cdef int* slot = best + n
    cdef Py_ssize_t slots = 0, k
    with nogil:
        for i in range(n):
            if parent[i] == i:
                place[i], head[groups], members[groups] = <int>groups, <int>i, 0
                groups += 1
            members[place[parent[i]]] += 1
        for i in range(n):
            g = place[parent[i]]
            if head[g] == i:
                best[g], fused_score[g] = <int>i, score[i]
                for s in range(4):
                    fused[g, s] = boxes[i, s]
            if members[g] == 1:
                continue
            if head[g] == i:
                slot[g] = <int>slots
                slots += 1
                for s in range(4):
                    sums[slot[g], 0, s], sums[slot[g], 1, s] = 0, 0
            b, k = best[g], slot[g]
            if cuts[i] < cuts[b] or (cuts[i] == cuts[b] and score[i] > score[b]):
                best[g] = <int>i
            fused_score[g] = max(fused_score[g], score[i])
            trust = score[i] * (tile_trust[tile[i]] * (trust_cut if cuts[i] else 1))
            for s in range(4):
                fused[g, s] = min(fused[g, s], boxes[i, s]) if s < 2 else max(fused[g, s], boxes[i, s])
                uncut = trust * (1 - cut[i, s])
                sums[k, 0, s] += uncut * boxes[i, s]
                sums[k, 1, s] += uncut
        for g in range(groups):
            b = best[g]
            fused_label[g], fused_tile[g] = label[b], tile[b]
            fragment[g], shut[g] = tile[b] if members[g] == 1 and cuts[b] else -1, members[g] == 1 and inside[b]
            if not cuts[b]:
                fused_score[g] = score[b]
            if members[g] == 1:
                continue
            for s in range(4):
                if sums[slot[g], 1, s] > 0:
                    fused[g, s] = sums[slot[g], 0, s] / sums[slot[g], 1, s]
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
    cdef Py_ssize_t n = boxes.shape[0], f, o, at, place, fragments = 0, left = 0
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
                put(&grid, f, <unsigned int>label[f], boxes[f, LEFT], boxes[f, TOP])
                fragments += 1
            else:
                grid.place[f] = NOWHERE
        if fragments > 0:
            settle(&grid, n)
        for again in range(2 if fragments > 0 else 0):
            for o in range(n):
                # Fragments fall from the surest on, and one that has fallen explains no later one: so first all that
                # is explained by what cannot fall before it, then the rest.
                if shut[o] or (again and (fragment[o] < 0 or not keep[o])):
                    continue
                near = cells(&grid, &window, &boxes[o, 0])
                for r in range(near.top, near.bottom + 1):
                    place = first_place(&grid, <unsigned int>label[o], r)
                    for at in range(grid.start[place + near.left], grid.start[place + near.right + 1]):
                        f = grid.item[at]
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


cdef inline int bits(Word word) noexcept nogil:
    cdef int count = 0
    while word:
        word &= word - 1
        count += 1
    return count


def doubt(
    const double[:, ::1] boxes, const short[::1] tile, const int[::1] head, const unsigned char[::1] shut,
    const unsigned long long[:, ::1] seen, const double[:, ::1] whole, const unsigned char[::1] current,
    const int[::1] neighbours, double denied, double[::1] score,
):
    cdef Py_ssize_t n = boxes.shape[0], words = seen.shape[1], g, k, w
    cdef int balance, t
    with nogil:
        for g in range(n):
            if shut[g]:
                continue
            balance = 0
            # Whoever sees an object whole shares pixels with the tile of its surest box.
            for k in range(neighbours[tile[g]], neighbours[tile[g] + 1]):
                t = neighbours[k]
                if current[t] and within(&boxes[g, 0], &whole[t, 0]) and not (seen[head[g], t >> 6] >> (t & 63)) & 1:
                    balance += 1
            if balance == 0:
                continue
            for w in range(words):
                balance -= bits(seen[head[g], w])
            if balance >= 0:
                score[g] *= denied
