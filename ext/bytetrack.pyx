"""ByteTrack (Zhang et al. 2022, https://arxiv.org/abs/2110.06864) and our additions, one frame a call.

The rules are told by the numpy twin, step by step under the same names.
"""

cimport assign as assignment
cimport camera
cimport kalman
from bytetrack cimport LOST, RIVALS, TENTATIVE, TRACKED, Rules, Scene, Track, tilewatch_overlaps
from libc.math cimport INFINITY, ceil, fabs, isfinite
from libc.stdint cimport int32_t, int64_t
from libc.string cimport memset

cdef double SECOND = 0.5            # limits of the second and third association
cdef double UNCONFIRMED = 0.7
cdef double DOUBLED = 0.15          # 1 - IoU below which a tracked and a lost track are one
cdef float COVERED = 0.75           # IoU from which a box is another one's double
cdef double SHARE = 0.35             # of the tracks that must agree on a shift
cdef double LATE = 1e-6             # rounding of timestamps, seconds
cdef float FARTHEST = 1e7           # beyond it a float no longer counts pixels
cdef enum:
    VOTERS = 4                      # fewest tracks that tell of the camera, and most that are asked
    MOST_VOTERS = 200


def room(long long tracks, long long detections):
    """Return how many ints, reals and floats a frame needs at most; see `carve`."""
    cdef long long both = tracks + detections, pairs = tracks * detections
    return 5 * both + 2 * detections + 1 + pairs, 4 * both + detections + pairs, 7 * both + 3 * pairs


cdef void carve(Scene* s, int* ints, double* reals, float* floats) noexcept nogil:
    """Divide the scratch among its uses."""
    cdef Py_ssize_t t = s.total, n = s.detections, both = t + n
    s.high, s.low, s.rows, s.row_to_col = ints, ints + n, ints + 2 * n, ints + 2 * n + t
    s.first, s.ints, s.order = ints + 2 * both, ints + 2 * both + t + 1, ints + 2 * both + 2 * t + 4 * n + 1
    s.column = s.order + both
    s.cost, s.reals, s.centres = reals, reals + t * n, reals + t * n + t + 2 * n
    s.boxes.left, s.boxes.top, s.boxes.right = floats, floats + both, floats + 2 * both
    s.boxes.bottom, s.boxes.size, s.boxes.score = floats + 3 * both, floats + 4 * both, floats + 5 * both
    s.overlap = floats + 6 * both
    s.shifts = floats + 7 * both


# ---- boxes

cdef bint usable(const float* box, float score) noexcept nogil:
    """Return whether a box has an area and all its numbers are numbers."""
    cdef int c
    for c in range(4):
        if not fabs(box[c]) < FARTHEST:
            return False
    return box[2] > box[0] and box[3] > box[1] and isfinite(score)


cdef int divide(Scene* s) noexcept nogil:
    """List the detections by score, high and low; return how many were refused."""
    cdef int d, refused = 0
    cdef float score
    s.highs = s.lows = 0
    for d in range(s.detections):
        score = s.score[d]
        if not usable(s.xyxy + 4 * d, score):
            refused += 1
        elif score > s.rules.high or (score == s.rules.high and not s.rules.strict):
            s.high[s.highs] = d
            s.highs += 1
        elif s.rules.low < score < s.rules.high:
            s.low[s.lows] = d
            s.lows += 1
    return refused


cdef void widen(const float* box, double* wide) noexcept nogil:
    cdef int c
    for c in range(4):
        wide[c] = box[c]


cdef void box_of(const Scene* s, const Track* track, float* box) noexcept nogil:
    cdef double[4] wide
    cdef int c
    kalman.bounds(track.motion, s.rules.aspect, wide)
    for c in range(4):
        box[c] = <float>wide[c]


cdef void add_column(Scene* s, const float* box, float score) noexcept nogil:
    """Put a box beside the others that are compared next."""
    cdef int n = s.boxes.count
    s.boxes.left[n], s.boxes.top[n], s.boxes.right[n], s.boxes.bottom[n] = box[0], box[1], box[2], box[3]
    s.boxes.size[n] = (box[2] - box[0] + s.rules.pixel) * (box[3] - box[1] + s.rules.pixel)
    s.boxes.score[n] = score
    s.boxes.count += 1


cdef void compare(Scene* s, const float* box) noexcept nogil:
    """Write the IoU of a box with every column."""
    tilewatch_overlaps(box, &s.boxes, s.rules.pixel, s.rules.extra, s.overlap)


# ---- association

cdef void vote(Track* track, int32_t label, double weight) noexcept nogil:
    """Count a box for its class; a class without a place takes as much from all rivals as the lightest can give."""
    cdef int c, place = 0
    cdef double taken
    weight = max(weight, 0)
    for c in range(RIVALS):
        if track.rivals[c] == label and track.votes[c] > 0:
            place = c
            break
        if track.votes[c] < track.votes[place]:
            place = c
    if track.rivals[place] != label or not track.votes[place] > 0:
        taken = min(weight, track.votes[place])
        for c in range(RIVALS):
            track.votes[c] -= taken
        weight -= taken
        if weight > 0:
            track.rivals[place] = label
    track.votes[place] += weight
    if track.votes[place] > track.votes[0]:
        track.rivals[0], track.rivals[place] = track.rivals[place], track.rivals[0]
        track.votes[0], track.votes[place] = track.votes[place], track.votes[0]


cdef void take(Scene* s, Track* track, int d) noexcept nogil:
    """Give a detection to a track."""
    cdef double[4] wide
    widen(s.xyxy + 4 * d, wide)
    kalman.correct(track.motion, wide, s.rules.aspect)
    track.status, track.matched = TRACKED, 1
    track.score, track.label = s.score[d], s.label[d]
    vote(track, s.label[d], s.score[d])
    track.last, track.seen = s.frame, s.now
    track.hits += 1


cdef int list_pairs(Scene* s, int wanted, bint fused, double limit) noexcept nogil:
    """List the free tracks of the wanted states and their pairs below the limit; return how many tracks."""
    cdef int i, c, rows = 0, pairs = 0
    cdef double cost
    cdef float[4] box
    for i in range(s.total):
        if s.tracks[i].matched or not s.tracks[i].status & wanted:
            continue
        box_of(s, &s.tracks[i], box)
        compare(s, box)
        s.rows[rows], s.first[rows] = i, pairs
        rows += 1
        for c in range(s.boxes.count):
            if not s.overlap[c] > 0:
                continue
            cost = 1 - (s.overlap[c] * <double>s.boxes.score[c] if fused else s.overlap[c])
            if cost < limit:
                s.column[pairs], s.cost[pairs] = c, cost
                pairs += 1
    s.first[rows] = pairs
    return rows


cdef int associate(Scene* s, int wanted, int* free, int count, bint fused, double limit) noexcept nogil:
    """Match tracks of the wanted states to the free detections; those that stay free are kept and counted."""
    cdef int r, c, rows, left = 0
    s.boxes.count = 0
    for c in range(count):
        add_column(s, s.xyxy + 4 * free[c], s.score[free[c]])
    rows = list_pairs(s, wanted, fused, limit)
    assignment.assign(rows, count, s.first, s.column, s.cost, limit, s.row_to_col, s.ints, s.reals)
    for r in range(rows):
        c = s.row_to_col[r]
        if c >= 0:
            take(s, &s.tracks[s.rows[r]], free[c])
            free[c] = -1
    for c in range(count):
        if free[c] >= 0:
            free[left] = free[c]
            left += 1
    return left


# ---- before it

cdef void expire(Scene* s) noexcept nogil:
    """Forget the lost tracks whose time is over."""
    cdef int i, n = s.tracked
    for i in range(s.tracked, s.total):
        if s.now - s.tracks[i].seen <= s.rules.buffer + LATE:
            s.tracks[n] = s.tracks[i]
            n += 1
    s.total = n


cdef void predict(Scene* s, double steps) noexcept nogil:
    """Move the tracks on; those seen only once stay where they are for a whole step, as published."""
    cdef int i
    for i in range(s.total):
        s.tracks[i].matched = 0
        if s.tracks[i].status != TENTATIVE or steps != 1:
            kalman.predict(s.tracks[i].motion, steps, s.rules.aspect, s.tracks[i].status != LOST)


cdef bint has_moved(const Track* track) noexcept nogil:
    """Return whether a track is in sight and more than one box is known of it."""
    return track.status == TRACKED and track.hits >= 2


cdef void follow_camera(Scene* s) noexcept nogil:
    """Move all tracks by the shift of the picture, if there was one."""
    cdef int i, d, every, known = 0, voters = 0
    cdef double x = 0, y = 0
    cdef double* seen = s.centres
    cdef double* found = s.centres + 3 * s.total
    cdef double[4] wide
    cdef Py_ssize_t pairs = <Py_ssize_t>s.total * s.detections
    cdef camera.Ballot b
    for i in range(s.tracked):
        known += has_moved(&s.tracks[i])
    if known < VOTERS or s.highs < VOTERS:
        return
    every = (known + MOST_VOTERS - 1) // MOST_VOTERS
    known = 0
    for i in range(s.tracked):
        if not has_moved(&s.tracks[i]):
            continue
        if known % every == 0:
            seen[3 * voters], seen[3 * voters + 1] = s.tracks[i].motion[0], s.tracks[i].motion[1]
            seen[3 * voters + 2] = s.tracks[i].motion[3]
            voters += 1
        known += 1
    for d in range(s.highs):
        widen(s.xyxy + 4 * s.high[d], wide)
        found[3 * d], found[3 * d + 1] = (wide[0] + wide[2]) / 2, (wide[1] + wide[3]) / 2
        found[3 * d + 2] = wide[3] - wide[1]
    b.xs, b.ys, b.reach = s.shifts, s.shifts + pairs, s.shifts + 2 * pairs
    b.votes, b.filled, b.hit, b.sample = s.column, s.first, s.row_to_col, s.cost
    camera.collect(&b, seen, voters, found, s.highs)
    if camera.shift(&b, max(VOTERS, <int>ceil(SHARE * voters)), &x, &y):
        for i in range(s.total):
            s.tracks[i].motion[0] += x
            s.tracks[i].motion[1] += y


# ---- after it

cdef void begin(Scene* s, Track* track, int d, int64_t* next_id) noexcept nogil:
    """Start a track at a detection; the references number it now, we once it is confirmed."""
    cdef double[4] wide
    memset(track, 0, sizeof(Track))
    widen(s.xyxy + 4 * d, wide)
    kalman.start(track.motion, wide, s.rules.aspect)
    track.status = TRACKED if s.frame == 1 else TENTATIVE
    track.score, track.label = s.score[d], s.label[d]
    track.rivals[0] = s.label[d]
    vote(track, s.label[d], s.score[d])
    track.born = track.last = s.frame
    track.seen, track.hits = s.now, 1
    if not s.rules.own:
        track.id = next_id[0]
        next_id[0] += 1


cdef bint is_double(Scene* s, const float* box, int column) noexcept nogil:
    """Return whether a candidate for birth shows what was matched, or what another, better candidate shows."""
    cdef int c
    cdef float mine = s.boxes.score[column], other
    compare(s, box)
    for c in range(s.boxes.count):
        other = s.boxes.score[c]
        if s.overlap[c] >= COVERED and (other > mine or (other == mine and c < column)):
            return True
    return False


cdef int give_birth(Scene* s, Track* spare, int n, int64_t* next_id) noexcept nogil:
    """Start tracks at the free high detections, from index n of spare; return the index behind them."""
    cdef int i, d, candidates = 0, column
    cdef float[4] box
    s.boxes.count = 0
    for d in range(s.highs):
        if s.score[s.high[d]] >= s.rules.birth:
            s.high[candidates] = s.high[d]
            candidates += 1
    if s.rules.own and candidates:
        for i in range(s.total):
            if s.tracks[i].matched:
                box_of(s, &s.tracks[i], box)
                add_column(s, box, INFINITY)
    column = s.boxes.count
    for d in range(candidates):
        add_column(s, s.xyxy + 4 * s.high[d], s.score[s.high[d]])
    for d in range(candidates):
        if not s.rules.own or not is_double(s, s.xyxy + 4 * s.high[d], column + d):
            begin(s, &spare[n], s.high[d], next_id)
            n += 1
    return n


cdef bint stays(Scene* s, Track* track) noexcept nogil:
    """Return whether a lost track is kept; in the references it outlives its buffer by one frame."""
    cdef bint kept = not track.purged
    if not s.rules.own and s.frame - track.last > s.rules.buffer:
        track.purged = 1
    return kept


cdef void rearrange(Scene* s, Track* spare, int64_t* next_id) noexcept nogil:
    """Write the tracks that go on into spare: the tracked ones, born ones, found ones, then the lost ones."""
    cdef int i, n = 0
    for i in range(s.tracked):
        if s.tracks[i].matched:
            spare[n] = s.tracks[i]
            n += 1
    n = give_birth(s, spare, n, next_id)
    for i in range(s.tracked, s.total):
        if s.tracks[i].matched:
            spare[n] = s.tracks[i]
            n += 1
    cdef int tracked = n
    for i in range(s.tracked, s.total):
        if not s.tracks[i].matched and stays(s, &s.tracks[i]):
            spare[n] = s.tracks[i]
            n += 1
    for i in range(s.tracked):
        if not s.tracks[i].matched and s.tracks[i].status == TRACKED and not s.tracks[i].purged:
            spare[n] = s.tracks[i]
            spare[n].status = LOST
            n += 1
    s.tracks, s.tracked, s.total = spare, tracked, n


cdef void drop_doubles(Scene* s) noexcept nogil:
    """Where a tracked and a lost track lie on each other, drop the younger."""
    cdef int i, c, n = 0, tracked = 0
    cdef float[4] box
    cdef int* gone = s.order
    s.boxes.count = 0
    for i in range(s.total):
        gone[i] = 0
    for i in range(s.tracked, s.total):
        box_of(s, &s.tracks[i], box)
        add_column(s, box, 0)
    for i in range(s.tracked if s.boxes.count else 0):
        box_of(s, &s.tracks[i], box)
        compare(s, box)
        for c in range(s.boxes.count):
            if 1 - <double>s.overlap[c] < DOUBLED:
                gone[s.tracked + c if age(&s.tracks[i]) > age(&s.tracks[s.tracked + c]) else i] = 1
    for i in range(s.total):
        if not gone[i]:
            s.tracks[n] = s.tracks[i]
            n += 1
            tracked += i < s.tracked
    s.tracked, s.total = tracked, n


cdef int64_t age(const Track* track) noexcept nogil:
    return track.last - track.born


cdef int by_id(Scene* s, int64_t* next_id) noexcept nogil:
    """List the confirmed tracks by id, numbering new ones; return how many."""
    cdef int i, at, n = 0
    for i in range(s.tracked):
        if s.tracks[i].status != TRACKED:
            continue
        if s.tracks[i].id == 0:
            s.tracks[i].id = next_id[0]
            next_id[0] += 1
        at = n
        while at > 0 and s.tracks[s.order[at - 1]].id > s.tracks[i].id:
            s.order[at] = s.order[at - 1]
            at -= 1
        s.order[at] = i
        n += 1
    return n


def update(
    const Rules[::1] rules, int64_t[::1] counts, Track[::1] tracks, Track[::1] spare,
    int[::1] ints, double[::1] reals, float[::1] floats,
    const float[:, ::1] xyxy, const float[::1] score, const int32_t[::1] label,
    int64_t frame, double now, double steps,
    float[:, ::1] out_xyxy, float[::1] out_score, int32_t[::1] out_label, int64_t[::1] out_id, int32_t[::1] out_age,
):
    cdef Scene s
    cdef int i, at, shown
    s.rules, s.tracks, s.tracked, s.total = &rules[0], &tracks[0], <int>counts[0], <int>counts[1]
    s.frame, s.now, s.detections = frame, now, <int>score.shape[0]
    s.xyxy = &xyxy[0, 0] if s.detections else NULL
    s.score = &score[0] if s.detections else NULL
    s.label = &label[0] if s.detections else NULL
    with nogil:
        carve(&s, &ints[0], &reals[0], &floats[0])
        counts[3] += divide(&s)
        if s.rules.own:
            expire(&s)
        predict(&s, steps)
        if s.rules.own:
            follow_camera(&s)
        s.highs = associate(&s, TRACKED | LOST, s.high, s.highs, True, s.rules.match)
        s.lows = associate(&s, TRACKED, s.low, s.lows, False, SECOND)
        s.highs = associate(&s, TENTATIVE, s.high, s.highs, True, UNCONFIRMED)
        rearrange(&s, &spare[0], &counts[2])
        drop_doubles(&s)
        shown = by_id(&s, &counts[2])
        for i in range(shown):
            at = s.order[i]
            box_of(&s, &s.tracks[at], &out_xyxy[i, 0])
            out_score[i] = s.tracks[at].score
            out_label[i] = s.tracks[at].rivals[0] if s.rules.lock else s.tracks[at].label
            out_id[i], out_age[i] = s.tracks[at].id, <int32_t>(frame - s.tracks[at].born)
        counts[0], counts[1] = s.tracked, s.total
    return shown
