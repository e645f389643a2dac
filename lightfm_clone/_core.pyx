"""The compiled core: typed views, random streams, thread count, the parallel loops, numbers of ids.

The path of a fit, from `LightFM.fit_partial` to the inner loop:

1. `Interactions` packs the stored interactions into 8 bytes each (4 more for a sample weight, 4 for
   a value where the loss uses it) and, when a loss asks, finds the sorted distinct items of each
   user and fills a filter.
2. `Parameters` packs one side's arrays into aligned rows (`_kernels/interface.hpp`).
3. `Trainer.shuffle` begins an epoch, and `Trainer.part` runs one `prange` over the threads. They
   put the packed interactions in the epoch's random order, the first time, and take blocks of it
   (`_kernels/epoch.hpp`); each block goes to a kernel of `_kernels/isa.cpp`, chosen by loss,
   schedule and instruction level. No formula is in this file.
4. `Trainer.settle` takes the scales of L2 out of the parameters, and `Parameters.unpack` writes the
   arrays back.

Memory of a fit: 16 bytes an interaction (24 with weights or values, 32 with both), 4 + 13/8 bytes
per known pair (while they are found, 4 an interaction, and 8 that are freed before the order is
made), up to a third of a byte an interaction for the blocks of an epoch, and the packed rows.
Features take 8 bytes a row, and 4 an entry of a rare one, beside their matrix; with a dropout of
identities another 16 bytes a row and 8 an entry.
"""

from collections import namedtuple
from cpython.exc cimport PyErr_CheckSignals
from cython cimport final
from cython.operator cimport dereference
from cython.parallel cimport prange
from libc.math cimport NAN
from libc.stdint cimport (
    INT32_MAX,
    int16_t,
    int32_t,
    int64_t,
    uint8_t,
    uint16_t,
    uint32_t,
    uint64_t,
)
from libc.string cimport memset
from libcpp.memory cimport make_unique, unique_ptr
from libcpp.vector cimport vector

from lightfm_clone._kernels cimport (
    BAD_COLUMN,
    BAD_ROW,
    BPR,
    DRAWS_NEGATIVES,
    INFLUENCE_TILE,
    KNOWN_CHUNK,
    LOSS_NAMES,
    MAX_CLASSES,
    N_LEVELS,
    N_LOSSES,
    N_SCHEDULES,
    NO_FAULT,
    NOT_FINITE,
    NOT_POSITIVE,
    PANEL,
    SCHEDULE_NAMES,
    SGD,
    USERS_AT_ONCE,
    USERS_IN_BLOCK,
    WARP,
    WARP_KOS,
    AliasColumn,
    Array,
    Block,
    BlockKernel,
    Columns,
    Conversion,
    Disliked,
    Epoch,
    Finding,
    Histories,
    IdTable,
    Influence,
    Kernels,
    Keyboard,
    Known,
    KnownItems,
    NearestItems,
    PackedRows,
    Pieces,
    Problem,
    PublicArrays,
    Representations,
    RidgeSystems,
    Scales,
    Side,
    Sparse,
    SparseTile,
    StoredFeatures,
    Sums,
    add_item_counts,
    are_finite,
    are_neighbours,
    are_sorted,
    compiler,
    count_users,
    cut_tile,
    exchange_rows,
    fill_alias_table,
    fill_filters,
    filter_begin,
    gather,
    levels,
    lfm_has_openmp,
    list_users,
    number_list,
    number_rows,
    pack_interactions,
    pack_rows,
    scratch_floats,
    sum_stored_features,
    swap_down,
    tile_size,
    unpack_rows,
    users_at_a_time,
)

import os

import numpy as np

from lightfm_clone import _cpus

# No generator is in this file: what Cython needs for the first one takes 11 KB.
LOSSES = tuple([LOSS_NAMES[i].decode() for i in range(N_LOSSES)])
SCHEDULES = tuple([SCHEDULE_NAMES[i].decode() for i in range(N_SCHEDULES)])

# Examples a thread takes at a time: enough that taking them costs nothing. With several threads,
# the examples of a window, one block a thread, are trained on class by class where all share a CPU;
# measured on MovieLens 100K, four blocks of 512 of a class in a row cost WARP 0.001 of its AUC, 128
# nothing.
cdef int64_t BLOCK = 512, SHARED_BLOCK = 128
# Where fewer examples than this lie between two times that the scales of L2 are full, threads would
# wait for each other more than they would train.
cdef int64_t FEW_EXAMPLES = 10_000

# ---- instruction levels and threads ----

cdef const Kernels* kernels = NULL
cdef str level_name = ""


def available_levels():
    """Names of the instruction levels this CPU can run, slowest first."""
    return tuple(
        [levels()[i].name.decode() for i in range(N_LEVELS) if levels()[i].supported]
    )


def use_level(str name):
    """Run the kernels of one instruction level from now on."""
    global kernels, level_name
    for i in range(N_LEVELS):
        if levels()[i].name.decode() == name and levels()[i].supported:
            kernels = levels()[i].kernels
            level_name = name
            return
    raise ValueError(
        f"instruction level must be one of {available_levels()} on this machine, got {name!r}; "
        "unset LIGHTFM_CLONE_LEVEL to use the fastest"
    )


*_, _fastest_level = available_levels()
use_level(os.environ.get("LIGHTFM_CLONE_LEVEL") or _fastest_level)

cdef int64_t MOST_THREADS_A_CPU = 4

# GCC's OpenMP runtime hangs when a process that has run threads forks and the child starts some.
cdef bint threads_were_started = False
cdef bint single_threaded = not lfm_has_openmp


def _after_fork_in_child():
    global single_threaded
    if threads_were_started:
        single_threaded = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


def threads_available():
    """CPUs this process may use, 1 in a build without OpenMP and in a forked child."""
    return 1 if single_threaded else _cpus.available()


cdef int threads_for(int64_t num_threads, int64_t n_tasks) except -1:
    """Threads to start for `n_tasks` tasks when the caller asked for `num_threads`.

    Never more than MOST_THREADS_A_CPU per CPU: they would only cost memory, and the OpenMP runtime
    ends the process when it cannot have the threads it is asked for.
    """
    global threads_were_started
    if single_threaded or num_threads == 1 or n_tasks <= 1:
        return 1
    cdef int64_t n = min(num_threads, n_tasks, MOST_THREADS_A_CPU * <int64_t> threads_available())
    if n > 1:
        threads_were_started = True
    return <int> max(n, 1)


def build_info():
    """Facts about this build and process, for `show_config`."""
    return {
        "instruction level": level_name,
        "levels available": ", ".join(available_levels()),
        "OpenMP": bool(lfm_has_openmp),
        "threads available": threads_available(),
        "compiler": compiler().decode(),
    }


cdef inline int64_t ceil_divide(int64_t a, int64_t b) noexcept nogil:
    return (a + b - 1) // b


cdef aligned_empty(shape):
    """A float32 array that starts on a cache line, of any values."""
    size = int(np.prod(shape))
    # NumPy asks for huge pages in `empty`, not in `zeros`; rows are read at random, and without
    # huge pages most of the time goes into address translation.
    buffer = np.empty(size + 16, dtype=np.float32)
    start = -buffer.ctypes.data % 64 // 4
    return buffer[start:start + size].reshape(shape)


cdef aligned_zeros(shape):
    """The same, of zeros."""
    aligned = aligned_empty(shape)
    aligned[...] = 0
    return aligned


@final
cdef class _Watch:
    """Looks at the keyboard within loops that run without the GIL, one in so many milliseconds."""

    cdef unique_ptr[Keyboard] keyboard
    cdef object exception  # that a look has raised

    def __init__(self, int milliseconds):
        self.keyboard = make_unique[Keyboard](&is_interrupted, <void*> self, milliseconds)

    cdef forward(self):
        """Raise what a look has raised, if there is any, after the loop."""
        if self.exception is not None:
            raise self.exception


cdef bint is_interrupted(void* watch) noexcept with gil:
    """Look at the keyboard."""
    try:
        PyErr_CheckSignals()
    except BaseException as exception:
        (<_Watch> watch).exception = exception
        return True
    return False


# ---- what a fit works on ----

# What a loop goes through at most between two looks at the keyboard.
cdef int64_t USERS_AT_A_TIME = 1 << 14


cdef int64_t end_of_slice(int64_t first, int64_t n) except -1:
    """Where the slice of n things ends that begins at `first`, after a look at the keyboard."""
    PyErr_CheckSignals()
    return min(first + USERS_AT_A_TIME, n)


# What a thread takes at a time, a tenth of a millisecond or so.
cdef int64_t ENTRIES_IN_PIECE = 1 << 16, FLOATS_IN_PIECE = 1 << 17


cdef check_lists(name, const int64_t[::1] indptr, const int32_t[::1] items, int64_t n_users,
                 int64_t n_items):
    """Check the sorted distinct items of each user, which errors call `name`."""
    cdef int64_t first, last = 0
    cdef bint sound
    bounds = np.asarray(indptr)
    if (len(bounds) != n_users + 1 or bounds[0] != 0
            or bounds[n_users] != len(items) or (np.diff(bounds) < 0).any()):
        raise ValueError(
            f"{name} must have an indptr of {n_users + 1} numbers that rise from 0 to the "
            f"number of its items, {len(items)}"
        )
    while last < n_users:
        first, last = last, end_of_slice(last, n_users)
        with nogil:
            sound = are_sorted(&indptr[0], &items[0] if items.shape[0] else NULL, first, last,
                               n_items)
        if not sound:
            raise ValueError(
                f"{name} must have sorted distinct items of each user, from 0 to {n_items - 1}"
            )


@final
cdef class Interactions:
    """The stored interactions, packed, and what each user knows.

    Parameters
    ----------
    rows, cols : int32 arrays [nnz]
    positive : bool array [nnz] or None
        Which values are > 0; None when all are.
    values : float32 array [nnz] or None
        For a loss that uses them.
    weights : float32 array [nnz] or None
    n_users : int
    n_items : int
        The rows of the item features.
    known : (indptr int64 [n_users + 1], items int32 [n known pairs]), optional
        The sorted distinct items that each user knows, where these are a part of the interactions
        of a larger fit. Without it they are those of the interactions.
    item_counts : int64 array [n_items], optional
        BPR draws its negatives in proportion to these. Without them it draws the item of one of
        the interactions.
    candidates : int32 array [n_candidates], optional
        The items, sorted and distinct, that negatives are drawn from where these are the seen ones;
        all that anybody knows are among them. Without it they are those of the interactions.
    num_threads : int, default 1
        For all that is found out here. What is found is the same for any number.

    Raises
    ------
    ValueError
        If `known`, `item_counts` or `candidates` are not as said above.

    Notes
    -----
    `known`, `item_counts` and `candidates` are kept, not copied, and must not change.
    """

    cdef object words            # uint32 [nnz, 2 to 4], in the caller's order
    cdef bint has_values
    cdef int64_t n_users
    cdef int32_t n_items
    cdef int64_t num_threads
    cdef object counts           # int64 [n_items]: those of the interactions, once asked for
    # What a loss that draws negatives asks for, None until then.
    cdef object known_indptr     # int64 [n_users + 1]
    cdef object known_items      # int32 [n known pairs]
    cdef object filter           # uint64
    cdef int64_t most_known      # items that a user knows
    cdef object item_counts      # int64 [n_items]: the caller's, not those of the interactions
    cdef object popularity       # their alias table
    cdef object candidates       # int32 [n_candidates], None until they are asked for
    # For BPR: bool [n_users], whether the user knows all that can be drawn.
    cdef object saturated
    # (indptr int64 [n_users + 1], items int32): stored as <= 0, and never as positive
    cdef object disliked_by_all
    cdef object disliked_by_saturated

    def __init__(self, rows, cols, positive, values, weights, int64_t n_users, int32_t n_items,
                 *, known=None, item_counts=None, candidates=None, num_threads=1):
        self.num_threads = num_threads
        self.words = self.pack(rows, cols, positive, values, weights)
        self.has_values = values is not None
        self.n_users = n_users
        self.n_items = n_items
        if known is not None:
            self.known_indptr, self.known_items = known
            self.check_known()
        if item_counts is not None:
            self.item_counts = item_counts
            self.check_item_counts()
        if candidates is not None:
            self.candidates = candidates
            self.check_candidates()

    def __len__(self):
        return len(self.words)

    cdef pack(self, const int32_t[::1] rows, const int32_t[::1] cols, positive, values, weights):
        """The words of the interactions."""
        cdef const uint8_t[::1] flags
        cdef const float[::1] column
        cdef Columns columns
        cdef int64_t n = rows.shape[0], piece, n_pieces = ceil_divide(n, ENTRIES_IN_PIECE)
        cdef int n_further = 0
        given = [further for further in (values, weights) if further is not None]
        words = np.empty((n, 2 + len(given)), dtype=np.uint32)
        if n == 0:
            return words
        columns.rows = &rows[0]
        columns.cols = &cols[0]
        columns.positive = NULL
        if positive is not None:
            flags = positive.view(np.uint8)
            columns.positive = &flags[0]
        for column in given:
            columns.further[n_further] = &column[0]
            n_further += 1
        for other in (cols, positive, *given):
            if other is not None and len(other) != n:
                raise ValueError(
                    f"all arrays of the interactions must have the length of rows, {n}"
                )
        cdef uint32_t[:, ::1] out = words
        cdef int threads = threads_for(self.num_threads, n_pieces), thread
        cdef unique_ptr[Pieces] pieces = make_unique[Pieces](n_pieces, threads)
        with nogil:
            for thread in prange(threads, num_threads=threads, schedule="static", chunksize=1):
                piece = dereference(pieces).first(thread)
                while piece >= 0:
                    pack_interactions(columns, piece * ENTRIES_IN_PIECE,
                                      min(n, (piece + 1) * ENTRIES_IN_PIECE),
                                      2 + n_further, &out[0, 0])
                    piece = dereference(pieces).next(piece)
        return words

    cdef check_known(self):
        check_lists("known", self.known_indptr, self.known_items, self.n_users, self.n_items)

    cdef check_item_counts(self):
        cdef const int64_t[::1] counts = self.item_counts
        if (counts.shape[0] != self.n_items or not self.item_counts.any()
                or (self.item_counts < 0).any()):
            raise ValueError(
                f"item_counts must have {self.n_items} counts, of which none is negative and some "
                "are above 0"
            )

    cdef check_candidates(self):
        cdef const int32_t[::1] items = self.candidates
        cdef int64_t indptr[2]
        indptr[0], indptr[1] = 0, items.shape[0]
        if not are_sorted(indptr, &items[0] if items.shape[0] else NULL, 0, 1, self.n_items):
            raise ValueError(
                f"candidates must be sorted distinct items, from 0 to {self.n_items - 1}"
            )
        lacking = np.ones(self.n_items, dtype=bool)
        lacking[self.candidates] = False
        if lacking[self.words[:, 1]].any() or (
            self.known_items is not None and lacking[self.known_items].any()
        ):
            raise ValueError("candidates must have every item of the interactions, and of known")

    def known(self):
        """The sorted distinct items of each user, (indptr int64 [n_users + 1], items int32)."""
        self.find_known()
        return self.known_indptr, self.known_items

    def n_candidates(self):
        """How many items negatives are drawn from, where these are the seen ones."""
        self.find_candidates()
        return len(self.candidates)

    cdef find_candidates(self):
        """Find the items of the interactions, once."""
        if self.candidates is None:
            self.candidates = np.flatnonzero(self.count_items()).astype(np.int32)

    cdef find_known(self):
        """Find the sorted distinct items of each user, and fill the filter, once."""
        if self.filter is not None:
            return
        if self.known_indptr is None:
            self.known_indptr, self.known_items = self.list_known()
        self.most_known = np.diff(self.known_indptr).max(initial=0)
        self.filter = self.make_filter()

    cdef list_known(self):
        """The sorted distinct items of each user, (indptr int64 [n_users + 1], items int32)."""
        cdef const uint32_t[:, ::1] words = self.words
        cdef int64_t n = words.shape[0]
        indptr = np.zeros(self.n_users + 1, dtype=np.int64)
        known = np.empty(n, dtype=np.int32)
        if n == 0:
            return indptr, known
        pairs = np.empty(n, dtype=np.uint64)
        cdef int64_t[::1] ends = indptr
        cdef int32_t[::1] items = known, out
        cdef uint64_t[::1] room = pairs
        cdef int threads = threads_for(self.num_threads, ceil_divide(n, KNOWN_CHUNK)), thread
        cdef _Watch watch = _Watch(4)
        cdef unique_ptr[KnownItems] finder = make_unique[KnownItems](
            &words[0, 0], <int> words.shape[1], n, self.n_users, self.n_items, threads, &room[0],
            &items[0], &ends[0])
        with nogil:
            for thread in prange(threads, num_threads=threads, schedule="static", chunksize=1):
                dereference(finder).list(thread, dereference(watch.keyboard))
        watch.forward()
        del room, pairs
        dereference(finder).set_bounds()
        # A copy where repeats were dropped, so that their memory is freed.
        listed = known
        if dereference(finder).n_known() < n:
            listed = np.empty(dereference(finder).n_known(), dtype=np.int32)
        out = listed
        with nogil:
            for thread in prange(threads, num_threads=threads, schedule="static", chunksize=1):
                dereference(finder).close_gaps(thread, &out[0], dereference(watch.keyboard))
        watch.forward()
        return indptr, listed

    cdef make_filter(self):
        """The filter over the known items."""
        cdef const int64_t[::1] indptr = self.known_indptr
        cdef const int32_t[::1] known = self.known_items
        cdef const int32_t* items = &known[0] if known.shape[0] else NULL
        cdef int64_t size = users_at_a_time(self.n_users, known.shape[0])
        cdef int64_t n_pieces = ceil_divide(self.n_users, size), piece
        cdef int threads = threads_for(self.num_threads, n_pieces), thread
        made = np.empty(filter_begin(&indptr[0], self.n_users) + 1, dtype=np.uint64)
        cdef uint64_t[::1] filter = made
        cdef _Watch watch = _Watch(4)
        cdef unique_ptr[Pieces] pieces = make_unique[Pieces](n_pieces, threads)
        with nogil:
            for thread in prange(threads, num_threads=threads, schedule="static", chunksize=1):
                piece = dereference(pieces).first(thread)
                while piece >= 0:
                    if not dereference(watch.keyboard).stops(thread):
                        fill_filters(&indptr[0], items, piece * size,
                                     min(self.n_users, (piece + 1) * size), self.n_items,
                                     &filter[0])
                    piece = dereference(pieces).next(piece)
        watch.forward()
        return made

    cdef count_items(self):
        """How many interactions each item has, int64 [n_items]. (np.bincount would copy all.)"""
        if self.counts is not None:
            return self.counts
        cdef const uint32_t[:, ::1] words = self.words
        cdef int64_t n = words.shape[0], piece, n_pieces = ceil_divide(n, ENTRIES_IN_PIECE)
        if n == 0:
            self.counts = np.zeros(self.n_items, dtype=np.int64)
            return self.counts
        # A table for each thread, as long as adding them up is little beside counting.
        cdef int threads = threads_for(
            min(self.num_threads, max(n // (8 * <int64_t> self.n_items), 1)), n_pieces), thread
        tables = np.zeros((threads, self.n_items), dtype=np.int64)
        cdef int64_t[:, ::1] of_item = tables
        cdef unique_ptr[Pieces] pieces = make_unique[Pieces](n_pieces, threads)
        with nogil:
            for thread in prange(threads, num_threads=threads, schedule="static", chunksize=1):
                piece = dereference(pieces).first(thread)
                while piece >= 0:
                    add_item_counts(&words[0, 0], <int> words.shape[1], piece * ENTRIES_IN_PIECE,
                                    min(n, (piece + 1) * ENTRIES_IN_PIECE),
                                    &of_item[thread, 0])
                    piece = dereference(pieces).next(piece)
        self.counts = tables.sum(axis=0)
        return self.counts

    cdef find_popularity(self):
        """Make the alias table of `item_counts`, once."""
        if self.popularity is not None:
            return
        cdef const int64_t[::1] counts = self.item_counts
        table = np.empty((self.n_items, 2), dtype=np.uint32)
        cdef uint32_t[:, ::1] columns = table
        cdef double[::1] shares = np.empty(self.n_items)
        cdef int32_t[::1] stack = np.empty(self.n_items, dtype=np.int32)
        cdef double total = self.item_counts.sum(dtype=np.float64)
        with nogil:
            fill_alias_table(&counts[0], self.n_items, total, &shares[0], &stack[0],
                             <AliasColumn*> &columns[0, 0])
        self.popularity = table

    cdef find_saturated(self):
        """Find the users who know every item that BPR draws, once."""
        if self.saturated is not None:
            return
        counts = self.count_items() if self.item_counts is None else self.item_counts
        cdef const uint8_t[::1] drawn = (counts > 0).view(np.uint8)
        cdef int64_t n_drawn = np.count_nonzero(counts), n_found, user, i, first, last = 0
        cdef const int64_t[::1] indptr = self.known_indptr
        cdef const int32_t[::1] items = self.known_items
        saturated = np.zeros(self.n_users, dtype=np.bool_)
        cdef uint8_t[::1] flags = saturated.view(np.uint8)
        while last < self.n_users:
            first, last = last, end_of_slice(last, self.n_users)
            with nogil:
                for user in range(first, last):
                    if indptr[user + 1] - indptr[user] < n_drawn:
                        continue
                    n_found = 0
                    for i in range(indptr[user], indptr[user + 1]):
                        n_found += drawn[items[i]]
                    flags[user] = n_found == n_drawn
        self.saturated = saturated

    cdef list_disliked(self, users):
        """The distinct items that each user stores as <= 0 and never as positive, of those users
        for whom `users` (bool [n_users]) is true."""
        whose = self.words[:, 0] & ~np.uint32(NOT_POSITIVE)
        entries = np.flatnonzero(users[whose])
        pairs = whose[entries].astype(np.int64) << 32 | self.words[entries, 1]
        negative = self.words[entries, 0] >= NOT_POSITIVE
        pairs = np.setdiff1d(pairs[negative], pairs[~negative])
        indptr = np.searchsorted(pairs, np.arange(self.n_users + 1) << 32)
        return indptr, (pairs & 0xFFFFFFFF).astype(np.int32)

    cdef find_disliked(self, bint by_all):
        """Find what all users dislike, or the saturated ones alone, once."""
        if by_all and self.disliked_by_all is None:
            self.disliked_by_all = self.list_disliked(np.ones(self.n_users, dtype=bool))
        if not by_all and self.disliked_by_saturated is None:
            self.disliked_by_saturated = self.list_disliked(self.saturated)

    cdef lend(self, int loss, float stored_negatives, bint from_seen, Problem* problem):
        """Find what the loss asks for and write it to the problem, with where it lies in memory.

        It stays there as long as this object lives.
        """
        cdef const uint32_t[:, ::1] words = self.words
        problem.interactions = &words[0, 0]
        problem.words = <int32_t> words.shape[1]
        problem.has_values = self.has_values
        problem.n_interactions = words.shape[0]
        problem.n_items = self.n_items
        problem.candidates = NULL
        problem.n_candidates = self.n_items
        problem.known.indptr = NULL
        problem.known.items = NULL
        problem.known.filter = NULL
        problem.known.n_items = self.n_items
        problem.disliked.indptr = NULL
        problem.disliked.items = NULL
        problem.disliked.share = stored_negatives
        problem.popularity = NULL
        problem.saturated = NULL
        if DRAWS_NEGATIVES[loss]:
            self.find_known()
            self.lend_known(&problem.known)
            if from_seen:
                self.lend_candidates(problem)
        if loss == BPR:
            self.find_saturated()
            self.lend_law(problem)
        if loss == WARP and stored_negatives > 0 or loss == BPR and (
            stored_negatives > 0 or problem.saturated
        ):
            self.lend_disliked(stored_negatives > 0, &problem.disliked)

    cdef lend_known(self, Known* known):
        cdef const int64_t[::1] indptr = self.known_indptr
        cdef const int32_t[::1] items = self.known_items
        cdef const uint64_t[::1] filter = self.filter
        known.indptr = &indptr[0]
        known.items = &items[0] if items.shape[0] else NULL
        known.filter = &filter[0]

    cdef lend_candidates(self, Problem* problem):
        self.find_candidates()
        cdef const int32_t[::1] candidates = self.candidates
        if candidates.shape[0] < self.n_items:
            problem.candidates = &candidates[0] if candidates.shape[0] else NULL
            problem.n_candidates = <int32_t> candidates.shape[0]

    cdef lend_law(self, Problem* problem):
        cdef const uint32_t[:, ::1] columns
        cdef const uint8_t[::1] saturated
        if self.item_counts is not None:
            self.find_popularity()
            columns = self.popularity
            problem.popularity = <const AliasColumn*> &columns[0, 0]
        if self.saturated.any():
            saturated = self.saturated.view(np.uint8)
            problem.saturated = &saturated[0]

    cdef lend_disliked(self, bint by_all, Disliked* disliked):
        self.find_disliked(by_all)
        cdef const int64_t[::1] indptr
        cdef const int32_t[::1] items
        indptr, items = self.disliked_by_all if by_all else self.disliked_by_saturated
        if items.shape[0]:
            disliked.indptr = &indptr[0]
            disliked.items = &items[0]


# Bytes of parameters that are taken to stay in the cache: half of the 1 MB that a core of today has
# to itself, so that the rest passes through the other half.
cdef int64_t KEPT_BYTES = 1 << 19


def rare_features(const int64_t[::1] indptr, const int32_t[::1] indices, int64_t n_features,
                  int64_t bytes_each):
    """CSR parts (indptr, indices) of the features of each row but for the frequent ones.

    Frequent are those that most rows have, as many as are taken to stay in the cache.
    """
    cdef int64_t n_rows = indptr.shape[0] - 1, n = 0, i, row
    cdef int64_t n_frequent = min(KEPT_BYTES // bytes_each, n_features)
    cdef int64_t[::1] counts = np.zeros(n_features, dtype=np.int64)
    cdef int64_t[::1] rare_indptr = np.zeros(n_rows + 1, dtype=np.int64)
    cdef int32_t[::1] rare
    cdef int64_t most = -1  # that a rare one has
    with nogil:
        for i in range(indptr[0], indptr[n_rows]):
            counts[indices[i]] += 1
    if n_frequent < n_features:
        most = np.partition(counts, n_features - n_frequent - 1)[n_features - n_frequent - 1]
    with nogil:
        for i in range(indptr[0], indptr[n_rows]):
            n += counts[indices[i]] <= most
    rare = np.empty(n, dtype=np.int32)
    n = 0
    with nogil:
        for row in range(n_rows):
            for i in range(indptr[row], indptr[row + 1]):
                if counts[indices[i]] <= most:
                    rare[n] = indices[i]
                    n += 1
            rare_indptr[row + 1] = n
    return rare_indptr, rare


def with_identities_last(const int64_t[::1] indptr, const int32_t[::1] indices,
                         const float[::1] data, int64_t n_features):
    """CSR parts (indptr, indices, data) in which the identities of each row come last.

    An identity is a feature that one row alone has an entry in, other than 0. Row i has the entries
    `indptr[2 * i]` to `indptr[2 * i + 2]`, and its identities begin at `indptr[2 * i + 1]`. A row
    that has nothing else ends there: what would be left is no row.
    """
    cdef int64_t n_rows = indptr.shape[0] - 1, n = indices.shape[0], row, i, at = 0
    cdef int64_t nobody = -1, several = -2
    cdef int64_t[::1] owners = np.full(n_features, nobody, dtype=np.int64)
    cdef bint of_identities, has_others
    bounds = np.zeros(2 * n_rows + 1, dtype=np.int64)
    ordered = np.empty(n, dtype=np.int32), np.empty(n, dtype=np.float32)
    cdef int64_t[::1] out = bounds
    cdef int32_t[::1] features = ordered[0]
    cdef float[::1] values = ordered[1]
    with nogil:
        for row in range(n_rows):
            for i in range(indptr[row], indptr[row + 1]):
                if data[i] != 0 and owners[indices[i]] != row:
                    owners[indices[i]] = row if owners[indices[i]] == nobody else several
        for row in range(n_rows):
            has_others = False
            for of_identities in range(2):
                for i in range(indptr[row], indptr[row + 1]):
                    if (owners[indices[i]] == row) != of_identities:
                        continue
                    features[at] = indices[i]
                    values[at] = data[i]
                    has_others = has_others or not of_identities and data[i] != 0
                    at += 1
                if not of_identities or not has_others:
                    out[2 * row + 1] = at
            out[2 * row + 2] = at
    return bounds, *ordered


@final
cdef class Parameters:
    """One side's parameters, packed into aligned rows for the length of a fit.

    Parameters
    ----------
    embeddings, biases : lists of C-contiguous arrays
        The values and, behind them, their states: `[x]` for sgd, `[x, G]` for adagrad,
        `[x, G, M]` for adadelta; embeddings float32 [n_features, no_components], biases float32
        [n_features].
    n_frozen : int, default 0
        The first so many features stay as they are.
    num_threads : int, default 1
        For packing, unpacking and checking.

    Raises
    ------
    ValueError
        If an array is not as said above.
    """

    cdef object rows      # float32 [n_features, parts, lanes]
    cdef object biases    # float32 [n_features, 1, 2 or 4], None when they are in the rows
    cdef int no_components
    cdef int64_t n_frozen
    cdef int64_t num_threads
    cdef readonly bint is_exchanged

    def __init__(self, embeddings, biases, n_frozen=0, num_threads=1):
        n_features, no_components = embeddings[0].shape
        parts = len(embeddings)
        self.no_components = no_components
        self.n_frozen = n_frozen
        self.num_threads = num_threads
        self.rows = aligned_empty((n_features, parts, ceil_divide(no_components, 16) * 16))
        in_row = no_components % 16 != 0
        self.biases = None if in_row else aligned_empty((n_features, 4 if parts == 3 else parts))
        self.pack(embeddings, biases)

    def pack(self, embeddings, biases):
        """Read the arrays anew: as many as `__init__` was given, and of the same shapes."""
        cdef PublicArrays arrays
        self.find(embeddings, biases, &arrays)
        self.convert(arrays, pack_rows)

    def unpack(self, embeddings, biases):
        """Write the packed values into such arrays, after `Trainer.settle`."""
        cdef PublicArrays arrays
        self.find(embeddings, biases, &arrays, writeable=True)
        self.convert(arrays, unpack_rows)

    def exchange(self, embeddings, biases):
        """As `unpack`, and pack what the arrays had, so that the same call takes all back."""
        cdef PublicArrays arrays
        self.find(embeddings, biases, &arrays, writeable=True)
        self.convert(arrays, exchange_rows)
        self.is_exchanged = not self.is_exchanged

    cdef find(self, embeddings, biases, PublicArrays* arrays, bint writeable=False):
        """Find where arrays lie, which the caller keeps alive."""
        cdef const float[:, ::1] rows
        cdef const float[::1] numbers
        cdef int part
        n_features, parts, _ = self.rows.shape
        for array in (*embeddings, *biases):
            if writeable and not array.flags.writeable:
                raise ValueError("arrays to write to must not be read-only")
        if len(embeddings) != parts or len(biases) != parts:
            raise ValueError(f"there must be {parts} arrays of embeddings and of biases")
        for part in range(len(embeddings)):
            rows, numbers = embeddings[part], biases[part]
            shapes = (rows.shape[0], rows.shape[1]), numbers.shape[0]
            if shapes != ((n_features, self.no_components), n_features):
                raise ValueError(
                    f"embeddings must have the shape {(n_features, self.no_components)}, and "
                    f"biases one number a row, got {shapes}"
                )
            arrays.embeddings[part] = <float*> &rows[0, 0] if n_features else NULL
            arrays.biases[part] = <float*> &numbers[0] if n_features else NULL

    cdef PackedRows packed(self):
        cdef PackedRows packed
        cdef float[:, :, ::1] rows = self.rows
        cdef float[:, ::1] biases
        packed.rows = &rows[0, 0, 0] if rows.shape[0] else NULL
        packed.parts = <int> rows.shape[1]
        packed.lanes = rows.shape[2]
        packed.no_components = self.no_components
        packed.biases = NULL
        packed.bias_stride = 0
        if self.biases is not None:
            biases = self.biases
            packed.biases = &biases[0, 0] if biases.shape[0] else NULL
            packed.bias_stride = biases.shape[1]
        return packed

    cdef int64_t rows_in_piece(self):
        return max(1, FLOATS_IN_PIECE // (self.rows.shape[1] * self.rows.shape[2]))

    cdef convert(self, PublicArrays arrays, Conversion conversion):
        """Pack the arrays, or unpack into them, or both."""
        cdef PackedRows packed = self.packed()
        cdef int64_t n = self.rows.shape[0], size = self.rows_in_piece(), first
        cdef int64_t n_pieces = ceil_divide(n, size), piece
        cdef int threads = threads_for(self.num_threads, n_pieces), thread
        cdef unique_ptr[Pieces] pieces = make_unique[Pieces](n_pieces, threads)
        with nogil:
            for thread in prange(threads, num_threads=threads, schedule="static", chunksize=1):
                piece = dereference(pieces).first(thread)
                while piece >= 0:
                    first = piece * size
                    conversion(packed, first, min(n, first + size), arrays)
                    piece = dereference(pieces).next(piece)

    cdef divide(self, double scale):
        """Divide the values, not their states, by an L2 scale, but for those of frozen features."""
        if scale != 1.0:
            self.rows[self.n_frozen:, 0] *= np.float32(1.0 / scale)
            if self.biases is not None:
                self.biases[self.n_frozen:, 0] *= np.float32(1.0 / scale)

    def is_finite(self):
        """Whether every value is finite."""
        cdef PackedRows packed = self.packed()
        cdef int64_t n = self.rows.shape[0], size = self.rows_in_piece(), first
        cdef int64_t n_pieces = ceil_divide(n, size), piece
        cdef int threads = threads_for(self.num_threads, n_pieces), thread
        cdef unique_ptr[Pieces] pieces = make_unique[Pieces](n_pieces, threads)
        sound = np.ones(n_pieces, dtype=np.bool_)
        cdef uint8_t[::1] flags = sound.view(np.uint8)
        with nogil:
            for thread in prange(threads, num_threads=threads, schedule="static", chunksize=1):
                piece = dereference(pieces).first(thread)
                while piece >= 0:
                    first = piece * size
                    flags[piece] = are_finite(packed, first, min(n, first + size))
                    piece = dereference(pieces).next(piece)
        return bool(sound.all())

    cdef in_parts(self, features):
        """What `with_rare` gave, with the identities of each row last."""
        if features is None:
            return None
        return *with_identities_last(*features[:3], len(self.rows)), *features[3:]

    cdef with_rare(self, features):
        """CSR parts of this side's features, and behind them which of each row's are rare."""
        if features is None:
            return None
        indptr, indices, _ = features
        n_features, parts, lanes = self.rows.shape
        return *features, *rare_features(indptr, indices, n_features, 4 * parts * lanes)

    cdef Side side(self, features, double alpha):
        cdef Side side
        cdef float[:, :, ::1] rows = self.rows
        cdef float[:, ::1] biases
        cdef const int64_t[::1] indptr
        cdef const int32_t[::1] indices
        cdef const float[::1] data
        cdef const int64_t[::1] rare_indptr
        cdef const int32_t[::1] rare
        side.rows = &rows[0, 0, 0] if rows.shape[0] else NULL
        side.row_stride = rows.shape[1] * rows.shape[2]
        side.biases = NULL
        side.bias_stride = 0
        if self.biases is not None:
            biases = self.biases
            side.biases = &biases[0, 0] if biases.shape[0] else NULL
            side.bias_stride = biases.shape[1]
        side.features.indptr = NULL
        side.features.parts = 1
        side.features.indices = NULL
        side.features.data = NULL
        side.features.rare_indptr = NULL
        side.features.rare = NULL
        if features is not None:
            indptr, indices, data, rare_indptr, rare = features
            side.features.indptr = &indptr[0]
            side.features.parts = 1 if indptr.shape[0] == rare_indptr.shape[0] else 2
            side.features.indices = &indices[0] if indices.shape[0] else NULL
            side.features.data = &data[0] if data.shape[0] else NULL
            side.features.rare_indptr = &rare_indptr[0]
            side.features.rare = &rare[0] if rare.shape[0] else NULL
        side.alpha = alpha if self.n_frozen < rows.shape[0] else 0.0
        side.n_frozen = self.n_frozen
        return side


cdef weights_by_tries(n_candidates, max_sampled):
    """WARP's weight of a violation found at try t, at [t - 1]; later ones weigh what the last does.

    It is ln(max(1, floor((n_candidates - 1) / t))), float32, which is 0 from t = n_candidates on.
    """
    tries = np.arange(1, max(1, min(max_sampled, n_candidates)) + 1)
    return np.log(np.maximum(1, (n_candidates - 1) // tries)).astype(np.float32)


# What the examples of a part of an epoch add up to: their losses, how many were trained on or
# looked at in vain, and, of WARP and k-OS WARP, violations, tries, and violations whose weight was
# cut at 10 because of the sample weight.
Totals = namedtuple("Totals", ("loss", "examples", "violations", "tries", "cut"), module=__name__)


@final
cdef class Trainer:
    """Trains users and items on interactions, an epoch at a time, each in parts.

    Parameters
    ----------
    interactions : Interactions
    users, items : Parameters
    user_features, item_features : (indptr int64, indices int32, data float32) or None
        CSR parts; None is the identity.
    learning_schedule : str
        The schedule that the parameters were packed for.

    Notes
    -----
    Two threads that update the same row in turn send it from one core's cache to the other's, and
    that can take longer than the arithmetic. Positives are the rows that are shared most, so the
    items are dealt into one class a thread, with about as many interactions each; within windows of
    the shuffled order interactions are grouped by class, and a thread prefers those of its own
    (`_kernels/epoch.hpp`). One parallel loop makes the order and trains, because threads that
    meet often wait long on a machine that has other work.

    Examples
    --------
    An epoch, here in one part::

        trainer.shuffle(seed, num_threads)
        totals = trainer.part(settings, 0, len(interactions))
        trainer.settle()
        users.unpack(embeddings, biases)
    """

    cdef Interactions interactions
    cdef Parameters users
    cdef Parameters items
    cdef object user_features
    cdef object item_features
    cdef object features_in_parts  # of both, identities last; None until dropout asks for them
    cdef int schedule
    cdef Scales scales             # live from one settling to the next
    cdef object order              # uint32 [nnz, 2 to 4]
    # An epoch, as `shuffle` leaves it.
    cdef uint64_t seed
    cdef int threads
    cdef int64_t window            # examples; 0 before there is an epoch
    cdef unique_ptr[Epoch] epoch   # none where there are no interactions
    cdef object item_classes       # uint8 [n_items], as dealt last
    cdef int n_dealt

    def __init__(self, Interactions interactions, Parameters users, Parameters items,
                 user_features, item_features, str learning_schedule):
        self.interactions = interactions
        self.users = users
        self.items = items
        self.user_features = users.with_rare(user_features)
        self.item_features = items.with_rare(item_features)
        self.schedule = SCHEDULES.index(learning_schedule)
        self.order = np.empty_like(interactions.words)
        self.scales.user = 1.0
        self.scales.item = 1.0
        self.scales.full = 0

    def shuffle(self, seed, num_threads):
        """Begin an epoch. `seed` (uint64) decides the random order of its examples, which its first
        part makes.

        Returns
        -------
        window : int
            Parts of the epoch begin and end at multiples of so many examples.
        """
        cdef int64_t n = len(self.interactions), window
        cdef int threads = threads_for(num_threads, ceil_divide(n, SHARED_BLOCK))
        cdef int n_classes = min(threads, MAX_CLASSES)
        cdef const uint32_t[:, ::1] words = self.interactions.words
        cdef uint32_t[:, ::1] order = self.order
        cdef const uint8_t[::1] classes
        self.window = 0
        self.seed = seed
        self.threads = threads
        window = SHARED_BLOCK * n_classes if n_classes > 1 else BLOCK
        if n_classes > 1 and n_classes != self.n_dealt:
            self.deal_classes(n_classes)
        if n:
            classes = self.item_classes
            self.epoch = make_unique[Epoch](
                &words[0, 0], <int> words.shape[1], n, self.seed, threads, window, n_classes,
                &classes[0] if n_classes > 1 else NULL, &order[0, 0])
        self.window = window
        return window

    def part(self, settings, int64_t begin, int64_t end, double done=0.0, double after=0.0):
        """Train on the examples [begin, end) of the epoch's order.

        Parts that follow each other come to what one part does, on one thread to the last bit.

        Parameters
        ----------
        settings : dict
            The checked parameters of the model by name.
        begin, end : int
            Multiples of what `shuffle` returned; `end` may also be the number of interactions.
        done, after : float, default 0.0
            The shares of the fit's epochs that are over before and after this epoch, by which sgd's
            learning rate has fallen.

        Returns
        -------
        Totals

        Raises
        ------
        ValueError
            If the part does not begin and end as it should, or there is no epoch.
        KeyboardInterrupt
            Examples may have been trained on. As after any exception, the parameters are settled.
        """
        self.check_part(begin, end)
        if begin == end:
            return Totals(0.0, 0, 0, 0, 0)
        try:
            return self.train(settings, begin, end, done, after)
        except BaseException:
            self.settle()
            raise

    def settle(self):
        """Divide the parameters by the scales of L2, which start at 1 again.

        Between two settlings parameters are what they are only together with their scales: this
        comes before they are looked at, and at the end of an epoch. Frozen ones never change.
        """
        self.users.divide(self.scales.user)
        self.items.divide(self.scales.item)
        self.scales.user = 1.0
        self.scales.item = 1.0
        self.scales.full = 0

    cdef check_part(self, int64_t begin, int64_t end):
        cdef int64_t n = len(self.interactions)
        if self.window == 0:
            raise ValueError("there is no epoch to train a part of: call shuffle first")
        if not 0 <= begin <= end <= n:
            raise ValueError(
                f"a part must begin and end within the {n} examples, got [{begin}, {end})"
            )
        if begin < end and (begin % self.window or end % self.window and end != n):
            raise ValueError(
                f"a part must begin and end at multiples of {self.window}, or end at {n}, got "
                f"[{begin}, {end})"
            )

    cdef write_settings(self, settings, double done, double after, const float[::1] warp_weights,
                        Problem* problem):
        """Write to the problem what the interactions have not, above all the model's parameters."""
        cdef const uint32_t[:, ::1] order = self.order
        user_features, item_features = self.user_features, self.item_features
        problem.identity_dropout = settings["identity_dropout"]
        if problem.identity_dropout > 0:
            if self.features_in_parts is None:
                self.features_in_parts = (
                    self.users.in_parts(user_features), self.items.in_parts(item_features)
                )
            user_features, item_features = self.features_in_parts
        problem.users = self.users.side(user_features, settings["user_alpha"])
        problem.items = self.items.side(item_features, settings["item_alpha"])
        problem.order = &order[0, 0]
        problem.no_components = self.users.no_components
        problem.lanes = <int32_t> self.users.rows.shape[2]
        problem.learning_rate = settings["learning_rate"]
        problem.last_learning_rate = problem.learning_rate
        if self.schedule == SGD:
            problem.learning_rate = settings["learning_rate"] * (1.0 - done)
            problem.last_learning_rate = settings["learning_rate"] * (1.0 - after)
        problem.rho = settings["rho"]
        problem.epsilon = settings["epsilon"]
        problem.max_sampled = settings["max_sampled"]
        problem.k = settings["k"]
        problem.n = settings["n"]
        problem.temperature = settings["temperature"]
        problem.n_negatives = settings["n_negatives"]
        problem.warp_weights = &warp_weights[0]
        problem.n_warp_weights = warp_weights.shape[0]
        problem.seed = self.seed
        problem.scales = &self.scales

    cdef train(self, settings, int64_t begin, int64_t end, double done, double after):
        """Lay out the problem of a part, run the kernel over its blocks, in rounds, and sum up."""
        cdef int loss = LOSSES.index(settings["loss"])
        cdef Problem problem
        cdef bint from_seen = settings["negatives"] == "seen"
        self.interactions.lend(loss, settings["stored_negatives"], from_seen, &problem)
        warp_weights = weights_by_tries(problem.n_candidates, settings["max_sampled"])
        self.write_settings(settings, done, after, warp_weights, &problem)
        # Threads that `shuffle` counted on may be gone in a forked child; one does as well.
        cdef int threads = threads_for(self.threads, self.threads), thread
        cdef BlockKernel kernel = kernels.block_kernel(loss, self.schedule, problem)
        # k-OS keeps the best k of at most n drawn positives.
        cdef int64_t n_kept = 0
        if loss == WARP_KOS:
            n_kept = min(min(problem.k, problem.n), self.interactions.most_known)
        cdef float[:, ::1] scratch = aligned_zeros(
            (threads, scratch_floats(loss, problem, n_kept))
        )
        # One cache line a thread.
        cdef float[:, ::1] sums_of_threads = aligned_zeros(
            (threads, sizeof(Sums) // sizeof(float))
        )
        cdef Sums* sums = <Sums*> &sums_of_threads[0, 0]
        for thread in range(threads):
            sums[thread].usual_tries = 2.0

        dereference(self.epoch).offer(begin // self.window, ceil_divide(end, self.window))
        cdef int at_work = threads
        cdef int64_t before = 0, now
        while self.run(kernel, problem, at_work, scratch, sums):
            # The scales had passed their limit. They start again from 1, and every block goes on
            # from where it was.
            self.settle()
            now = 0
            for thread in range(threads):
                now += sums[thread].examples
            if now - before < FEW_EXAMPLES:
                at_work = 1
            before = now
        for thread in range(1, threads):
            sums[0].loss += sums[thread].loss
            sums[0].examples += sums[thread].examples
            sums[0].violations += sums[thread].violations
            sums[0].tries += sums[thread].tries
            sums[0].cut += sums[thread].cut
        return Totals(sums.loss, sums.examples, sums.violations, sums.tries, sums.cut)

    cdef bint run(self, BlockKernel kernel, const Problem& problem, int threads,
                  float[:, ::1] scratch, Sums* sums) except -1:
        """Run the kernel over the blocks on offer. Returns whether some stopped because the scales
        of L2 are full."""
        cdef Epoch* epoch = self.epoch.get()
        cdef int64_t[:, ::1] blocks = np.zeros((threads, 8), dtype=np.int64)  # a cache line each
        cdef Block* block
        cdef int thread
        cdef _Watch watch = _Watch(30)
        with nogil:
            for thread in prange(threads, num_threads=threads, schedule="static", chunksize=1):
                epoch.enter(thread)
                block = <Block*> &blocks[thread, 0]
                while epoch.take(thread, block):
                    kernel(problem, &scratch[thread, 0], &sums[thread], &block.position, block.end)
                    if dereference(watch.keyboard).stops(thread):
                        epoch.stop()
        watch.forward()
        if not epoch.is_stopped():
            return False
        epoch.go_on()
        return True

    cdef deal_classes(self, int n_classes):
        """Deal the items into classes with about as many interactions each."""
        counts = self.interactions.count_items()
        place = np.empty(len(counts), dtype=np.int64)
        place[np.argsort(-counts, kind="stable")] = np.arange(len(counts))
        # To and fro, most popular first.
        turn, at = place // n_classes, place % n_classes
        self.item_classes = np.where(turn % 2 == 0, at, n_classes - 1 - at).astype(np.uint8)
        self.n_dealt = n_classes


# ---- scores and ranks ----

cdef Representations as_representations(
    const float[:, ::1] vectors, const float[::1] biases, int32_t no_components
):
    cdef Representations both
    if vectors.shape[0] != biases.shape[0] or vectors.shape[1] != no_components:
        raise ValueError("vectors and biases of users and items do not fit each other")
    both.vectors = &vectors[0, 0] if vectors.shape[0] and no_components else NULL
    both.biases = &biases[0] if biases.shape[0] else NULL
    return both


cdef inline Representations shifted(
    const Representations& all, int64_t first, int32_t no_components
) noexcept nogil:
    """Those from row `first` on."""
    cdef Representations rest
    rest.vectors = all.vectors + first * no_components
    rest.biases = all.biases + first
    return rest


cdef Sparse as_sparse(parts):
    """A matrix of (indptr, indices, values), which the caller keeps."""
    cdef const int64_t[::1] indptr = parts[0]
    cdef const int32_t[::1] indices = parts[1]
    cdef const float[::1] values = parts[2]
    cdef Sparse matrix
    if indptr.shape[0] == 0 or indptr[indptr.shape[0] - 1] != indices.shape[0] or (
        indices.shape[0] != values.shape[0]
    ):
        raise ValueError("the parts of a sparse matrix do not fit each other")
    matrix.indptr = &indptr[0]
    matrix.indices = &indices[0] if indices.shape[0] else NULL
    matrix.values = &values[0] if values.shape[0] else NULL
    return matrix


cdef inline Influence influence_for(
    const Influence& all, int64_t first, float[:, ::1] dense, int thread
) noexcept nogil:
    """With the histories from row `first` on, and with a thread's own scratch."""
    cdef Influence part = all
    if all.histories.indptr != NULL:
        part.histories.indptr = all.histories.indptr + first
        part.dense = &dense[thread, 0]
    return part


def score_pairs(const float[::1] user_biases, const float[:, ::1] user_vectors,
                const float[::1] item_biases, const float[:, ::1] item_vectors,
                const int32_t[::1] user_ids, const int32_t[::1] item_ids, num_threads):
    """Scores, float32 [n], of pairs of ids; one user id is paired with every item id.

    The caller has checked that the ids are rows of the representations.
    """
    cdef int32_t no_components = <int32_t> item_vectors.shape[1]
    cdef Representations users = as_representations(user_vectors, user_biases, no_components)
    cdef Representations items = as_representations(item_vectors, item_biases, no_components)
    cdef int64_t n = item_ids.shape[0], n_blocks = ceil_divide(n, 1024), block, start
    cdef int64_t user_step = 0 if user_ids.shape[0] == 1 else 1
    cdef int threads = threads_for(num_threads, n_blocks), thread
    cdef unique_ptr[Pieces] pieces = make_unique[Pieces](n_blocks, threads)
    out = np.empty(n, dtype=np.float32)
    cdef float[::1] scores = out
    with nogil:
        for thread in prange(threads, num_threads=threads, schedule="static", chunksize=1):
            block = dereference(pieces).first(thread)
            while block >= 0:
                start = block * 1024
                kernels.score_pairs(
                    users, items, no_components, &user_ids[start * user_step], user_step,
                    &item_ids[start], min(1024, n - start), &scores[start],
                )
                block = dereference(pieces).next(block)
    return out


def add_influence(float[::1] scores, histories, columns, const int32_t[::1] user_ids,
                  const int32_t[::1] item_ids, int64_t n_rows, num_threads):
    """Add to the scores of pairs what the users' histories say of the items.

    Parameters
    ----------
    scores : float32 [n]
    histories, columns : (indptr, indices, values)
        The histories by user; the influence by the item that is spoken for. Sorted and distinct.
    user_ids, item_ids : int32 [n]
        Rows of both. Pairs of a user are dealt with together where they follow each other.
    n_rows : int
        The items that may be in histories.
    num_threads : int
    """
    cdef int64_t n = scores.shape[0], n_blocks = ceil_divide(n, 1024), block, start
    cdef Influence all
    memset(&all, 0, sizeof(all))
    all.histories = as_sparse(histories)
    all.columns = as_sparse(columns)
    cdef int threads = threads_for(num_threads, n_blocks), thread
    cdef unique_ptr[Pieces] pieces = make_unique[Pieces](n_blocks, threads)
    cdef float[:, ::1] dense = np.zeros((threads, n_rows + 1), dtype=np.float32)
    with nogil:
        for thread in prange(threads, num_threads=threads, schedule="static", chunksize=1):
            block = dereference(pieces).first(thread)
            while block >= 0:
                start = block * 1024
                kernels.add_influence(
                    influence_for(all, 0, dense, thread), &user_ids[start],
                    &item_ids[start], min(1024, n - start), &scores[start],
                )
                block = dereference(pieces).next(block)


ctypedef fused Number:
    int32_t
    int64_t
    float
    double


ctypedef fused Integer:
    int32_t
    int64_t


cdef as_rows(const Integer[::1] ids, int64_t n_rows):
    # The sign of `found` is that of all ids and of what each is below the last row, so the loop
    # has no branch and no comparison, and vectors of every level do it.
    cdef uint64_t found = 0, last = <uint64_t> (n_rows - 1), row
    cdef int64_t n = ids.shape[0], i
    rows = np.empty(n, dtype=np.int32)
    cdef int32_t[::1] out = rows
    with nogil:
        for i in range(n):
            row = <uint64_t> <int64_t> ids[i]
            found |= row | (last - row)
            out[i] = <int32_t> row
    return None if found >> 63 else rows


def rows_of_ids(ids, int64_t n_rows):
    """Ids, a contiguous int32 or int64 array, as int32; None where one is not in [0, n_rows)."""
    return as_rows[int64_t](ids, n_rows) if ids.itemsize == 8 else as_rows[int32_t](ids, n_rows)


# The numbers of an array, which the caller keeps alive.
cdef Array as_array(const Number[::1] numbers):
    cdef Array array
    array.data = &numbers[0] if numbers.shape[0] else NULL
    array.size = numbers.shape[0]
    array.wide = sizeof(Number) == 8
    return array


cdef Array as_places(numbers):
    return as_array[int64_t](numbers) if numbers.itemsize == 8 else as_array[int32_t](numbers)


cdef Array as_values(numbers):
    return as_array[double](numbers) if numbers.itemsize == 8 else as_array[float](numbers)


def sum_features(str name, indptr, indices, data, const int32_t[::1] rows,
                 const float[::1] biases, const float[:, ::1] embeddings):
    """Sums of the features of some rows of a CSR matrix: (biases [n], vectors [n, no_components]).

    Nothing but these rows is looked at, so the cost does not depend on the matrix. What is looked
    at is checked, so nobody has to check the matrix before. The sums are those of SciPy's product
    of the rows, in float32, with biases and embeddings.

    Parameters
    ----------
    name : str
        What errors call the matrix.
    indptr, indices : int32 or int64 arrays
    data : float32 or float64 array
        Double precision is rounded first.
    rows : int32 array [n]
    biases : float32 array [n_features]
    embeddings : float32 array [n_features, no_components]

    Raises
    ------
    ValueError
        If a row is not in the matrix, its entries are not in the arrays, a column is not below
        n_features, or a value is not finite; or if an array is not contiguous or of another type.
    """
    cdef StoredFeatures features
    cdef Finding finding
    cdef int64_t n = rows.shape[0], no_components = embeddings.shape[1]
    if biases.shape[0] != embeddings.shape[0]:
        raise ValueError("biases and embeddings of the features do not fit each other")
    features.indptr = as_places(indptr)
    features.indices = as_places(indices)
    features.data = as_values(data)
    bias_sums = np.empty(n, dtype=np.float32)
    sums = np.empty((n, no_components), dtype=np.float32)
    cdef float[::1] bias_out = bias_sums
    cdef float[:, ::1] out = sums
    if n == 0:
        return bias_sums, sums
    with nogil:
        finding = sum_stored_features(
            features, &rows[0], n, &biases[0] if biases.shape[0] else NULL,
            &embeddings[0, 0] if embeddings.shape[0] else NULL, biases.shape[0], no_components,
            &bias_out[0], &out[0, 0],
        )
    if finding.fault != NO_FAULT:
        raise_fault(name, finding, rows[finding.at], len(indptr) - 1, len(data), len(biases))
    return bias_sums, sums


cdef raise_fault(name, Finding finding, row, n_rows, n_stored, n_features):
    if finding.fault == BAD_ROW:
        raise ValueError(f"rows of {name} must be from 0 to {n_rows - 1}, got {row}")
    if finding.fault == NOT_FINITE:
        raise ValueError(
            f"{name} must be finite, got NaN or infinity in row {row}; remove or replace them"
        )
    if finding.fault == BAD_COLUMN:
        raise ValueError(
            f"{name} must have its entries in columns 0 to {n_features - 1}, got column "
            f"{finding.begin} in row {row}; build the matrix anew"
        )
    raise ValueError(
        f"{name} is damaged: the entries of row {row} are said to be at [{finding.begin}, "
        f"{finding.end}) of {n_stored}; build the matrix anew"
    )


@final
cdef class Codes:
    """8-bit copies of vectors, which say what items a list of few users need not look at.

    They take 4 bytes an item, and one for each component, whose number is rounded up to a multiple
    of 4 (`_kernels/codes.hpp`).

    Parameters
    ----------
    vectors : float32 [n_items, no_components]
    """

    cdef int32_t n_items
    cdef int32_t n_coded
    cdef double limits[2]
    cdef object array
    cdef const char* panels

    def __init__(self, const float[:, ::1] vectors):
        cdef int32_t n_items = <int32_t> vectors.shape[0]
        cdef int32_t no_components = <int32_t> vectors.shape[1]
        cdef int64_t n_panels = ceil_divide(n_items, PANEL)
        self.n_items = n_items
        self.n_coded = <int32_t> ceil_divide(no_components, 4) * 4
        cdef float[::1] array = aligned_empty((n_panels * PANEL * (self.n_coded // 4 + 1),))
        self.panels = NULL
        if n_items:
            with nogil:
                kernels.code_items(&vectors[0, 0] if no_components else NULL, n_items,
                                   no_components, self.n_coded, <char*> &array[0], self.limits)
            self.panels = <const char*> &array[0]
        self.array = array


@final
cdef class Influences:
    """What items of users' histories add to the scores of n_items others.

    Parameters
    ----------
    rows : (indptr, indices, values)
        By the item that speaks, the items that it speaks for, sorted and distinct.
    n_items : int
    cut : bool
        Whether to copy them into tiles, which packed items need; for a few users it would cost more
        than it saves.
    """

    cdef Sparse rows
    cdef int64_t n_rows
    cdef int64_t n_items
    cdef vector[SparseTile] tiles
    cdef object arrays

    def __init__(self, rows, int64_t n_items, cut):
        self.rows = as_sparse(rows)
        self.n_rows = len(rows[0]) - 1
        self.n_items = n_items
        self.arrays = rows
        cdef int64_t n_tiles = ceil_divide(n_items, INFLUENCE_TILE) if cut else 0, done = 0, n, t
        if n_tiles == 0:
            return
        # The last row is there where nothing is.
        indptr = np.empty((n_tiles, self.n_rows + 1), dtype=np.int32)
        indices = np.empty(len(rows[1]) + 1, dtype=np.uint16)
        values = np.empty(len(rows[1]) + 1, dtype=np.float32)
        self.arrays = rows, indptr, indices, values
        cdef int32_t[:, ::1] begins = indptr
        cdef uint16_t[::1] places = indices
        cdef float[::1] weights = values
        cdef int64_t[::1] at = rows[0].copy()
        cdef SparseTile tile
        for t in range(n_tiles):
            tile.indptr = &begins[t, 0]
            tile.indices = &places[done]
            tile.values = &weights[done]
            with nogil:
                n = cut_tile(self.rows, self.n_rows, t * INFLUENCE_TILE, &at[0], &begins[t, 0],
                             &places[done], &weights[done])
            if n > INT32_MAX:
                raise ValueError(f"the influence has too many entries for {INFLUENCE_TILE} items")
            self.tiles.push_back(tile)
            done += n


@final
cdef class Items:
    """Representations of items, and a copy of them packed for the ranking kernels.

    Parameters
    ----------
    biases : float32 [n_items]
    vectors : float32 [n_items, no_components]
    packed : bool
        Whether to pack them; for a few users it would cost more than it saves.
    influence : Influences, optional
        Of as many items, cut if they are packed. Users then come with histories: (indptr, indices,
        values), sorted and distinct.
    """

    cdef Representations representations
    cdef int32_t n_items
    cdef int32_t no_components
    cdef object arrays
    cdef const float* panels
    cdef Influences influence

    def __init__(self, const float[::1] biases, const float[:, ::1] vectors, packed,
                 Influences influence=None):
        cdef float[::1] panels
        self.n_items = <int32_t> vectors.shape[0]
        self.no_components = <int32_t> vectors.shape[1]
        self.representations = as_representations(vectors, biases, self.no_components)
        self.panels = NULL
        if packed and self.n_items:
            panels = aligned_zeros(
                (ceil_divide(self.n_items, PANEL) * PANEL * (self.no_components + 1),)
            )
            with nogil:
                kernels.pack_panels(self.representations, self.n_items, self.no_components,
                                    &panels[0])
            self.panels = &panels[0]
            self.arrays = biases, vectors, panels
        else:
            self.arrays = biases, vectors
        if influence is not None and (
            influence.n_items != self.n_items or (self.panels != NULL and influence.tiles.empty())
        ):
            raise ValueError("the influence and the items do not fit each other")
        self.influence = influence

    cdef Influence lend_influence(self, histories, columns, int64_t n_users):
        cdef Influence all
        memset(&all, 0, sizeof(all))
        if (histories is None) != (self.influence is None):
            raise ValueError("users have histories where items have an influence, and only there")
        if histories is not None:
            if len(histories[0]) != n_users + 1:
                raise ValueError("there must be a history for each user")
            all.histories = as_sparse(histories)
            all.rows = self.influence.rows
            all.n_rows = self.influence.n_rows
            if self.panels != NULL:
                all.tiles = self.influence.tiles.data()
        if columns is not None:
            all.columns = as_sparse(columns)
        return all

    def best(self, const float[::1] user_biases, const float[:, ::1] user_vectors,
             const int64_t[::1] begins, const int64_t[::1] ends, const int32_t[::1] excluded,
             int32_t[:, ::1] ids, float[:, ::1] scores, num_threads, Codes codes=None,
             histories=None):
        """Write the best items of n users to `ids` and `scores`, int32 and float32 [n, k].

        User u does not get excluded[begins[u] .. ends[u]), which are sorted. Codes of the same
        vectors change nothing but the time; they know nothing of histories.
        """
        cdef Representations users = as_representations(
            user_vectors, user_biases, self.no_components
        )
        cdef int64_t n = user_vectors.shape[0], block, first
        cdef int32_t k = <int32_t> ids.shape[1]
        if n == 0:
            return
        cdef int threads = threads_for(num_threads, ceil_divide(n, USERS_AT_ONCE)), thread
        # Whole groups of users, and enough blocks for all threads.
        cdef int64_t size = min(
            <int64_t> USERS_IN_BLOCK,
            ceil_divide(ceil_divide(n, threads), USERS_AT_ONCE) * USERS_AT_ONCE,
        )
        cdef unique_ptr[Pieces] pieces = make_unique[Pieces](ceil_divide(n, size), threads)
        cdef Influence influence = self.lend_influence(histories, None, n)
        cdef float[:, ::1] dense = np.empty((threads, 1), dtype=np.float32)
        cdef int64_t n_lists = USERS_AT_ONCE if self.panels != NULL else min(n, USERS_AT_ONCE)
        cdef float[:, ::1] scratch = aligned_empty(
            (threads, max(n_lists * tile_size(influence, self.n_items), 1))
        )
        cdef const int32_t* out = &excluded[0] if excluded.shape[0] else NULL
        cdef int16_t[:, ::1] user_codes
        if codes is not None:
            if codes.n_items != self.n_items or codes.n_coded < self.no_components:
                raise ValueError("codes and items do not fit each other")
            user_codes = np.empty((threads, size * codes.n_coded + 1), dtype=np.int16)
        with nogil:
            for thread in prange(threads, num_threads=threads, schedule="static", chunksize=1):
                block = dereference(pieces).first(thread)
                while block >= 0:
                    first = block * size
                    if codes is None:
                        kernels.top_items(
                            shifted(users, first, self.no_components),
                            influence_for(influence, first, dense, thread),
                            <int32_t> min(size, n - first), self.representations, self.panels,
                            self.n_items, self.no_components, &begins[first], &ends[first], out, k,
                            &scratch[thread, 0], &ids[first, 0], &scores[first, 0],
                        )
                    else:
                        kernels.top_items_by_codes(
                            shifted(users, first, self.no_components),
                            <int32_t> min(size, n - first), self.representations, codes.panels,
                            codes.limits, self.n_items, self.no_components, codes.n_coded,
                            &begins[first], &ends[first], out, k, &scratch[thread, 0],
                            &user_codes[thread, 0], &ids[first, 0], &scores[first, 0],
                        )
                    block = dereference(pieces).next(block)

    def ranks(self, const float[::1] user_biases, const float[:, ::1] user_vectors,
              const int64_t[::1] test_indptr, const int32_t[::1] test_indices,
              const int64_t[::1] train_indptr, const int32_t[::1] train_indices, num_threads,
              histories=None, columns=None):
        """Ranks, float32 [nnz], of the entries of a CSR test matrix, and which of them, bool [nnz],
        are in train, whose rows are sorted. The items must have been packed. Histories come with
        the influence by the item that is spoken for."""
        cdef Representations users = as_representations(
            user_vectors, user_biases, self.no_components
        )
        out = np.zeros(test_indices.shape[0], dtype=np.int32)
        flags = np.zeros(test_indices.shape[0], dtype=np.uint8)
        cdef int32_t[::1] ranks = out
        cdef float[::1] targets = np.empty(test_indices.shape[0], dtype=np.float32)
        cdef uint8_t[::1] in_train = flags
        # Only users with test entries cost anything.
        cdef const int32_t[::1] user_ids = np.flatnonzero(np.diff(test_indptr)).astype(np.int32)
        cdef int64_t n_users = user_ids.shape[0], group, first
        cdef int64_t n_groups = ceil_divide(n_users, USERS_AT_ONCE)
        if n_users == 0:
            return out.astype(np.float32), flags.view(np.bool_)
        cdef int threads = threads_for(num_threads, n_groups), thread
        cdef unique_ptr[Pieces] pieces = make_unique[Pieces](n_groups, threads)
        cdef Influence influence = self.lend_influence(
            histories, columns, user_vectors.shape[0]
        )
        cdef float[:, ::1] dense = np.zeros((threads, influence.n_rows + 1), dtype=np.float32)
        cdef float[:, ::1] scratch = aligned_empty(
            (threads, USERS_AT_ONCE * tile_size(influence, self.n_items))
        )
        cdef const int32_t* train = &train_indices[0] if train_indices.shape[0] else NULL
        with nogil:
            for thread in prange(threads, num_threads=threads, schedule="static", chunksize=1):
                group = dereference(pieces).first(thread)
                while group >= 0:
                    first = group * USERS_AT_ONCE
                    kernels.rank_users(
                        users, influence_for(influence, 0, dense, thread), self.panels,
                        self.n_items, self.no_components, &user_ids[first],
                        <int32_t> min(USERS_AT_ONCE, n_users - first), &test_indptr[0],
                        &test_indices[0], &train_indptr[0], train, &scratch[thread, 0],
                        &targets[0], &ranks[0], &in_train[0],
                    )
                    group = dereference(pieces).next(group)
        return out.astype(np.float32), flags.view(np.bool_)


# ---- shuffling for the caller ----

def swap_with_partners(int32_t[::1] order, const int32_t[::1] partners, int64_t end):
    """Swap items i and partners[i] <= i of `order`, for i from the last down to `end`."""
    if order.shape[0]:
        with nogil:
            swap_down(&partners[0], order.shape[0], end, &order[0])


ctypedef fused Bits:
    uint32_t
    uint64_t


cdef gather_bits(const Bits[::1] source, const int32_t[::1] order, Bits[::1] out):
    if order.shape[0]:
        with nogil:
            gather(&source[0], &order[0], order.shape[0], &out[0])


def take_in_order(source, order, out):
    """Write source[order] to `out`, uint32 or uint64 both; `order` holds places in it."""
    if source.itemsize == 8:
        gather_bits[uint64_t](source, order, out)
    else:
        gather_bits[uint32_t](source, order, out)


# ---- neighbours of items ----

@final
cdef class _Histories:
    """The interactions, checked, by users and by items (`_kernels/neighbours.hpp`).

    Beside the caller's arrays it takes 8 bytes an interaction.
    """

    cdef Histories x
    cdef object arrays     # that x lies in
    cdef object additions  # int64 [n_items]: what the row of each item takes, whole or half
    cdef object order      # int32 [n_items]: the dearest first, so that none is left for the end

    def __init__(self, const int64_t[::1] indptr, const int32_t[::1] items,
                 const float[::1] values, const float[::1] user_weights, int64_t n_items,
                 bint whole):
        cdef int64_t n_users = user_weights.shape[0], n = items.shape[0], first, last = 0
        check_lists("the interactions", indptr, items, n_users, n_items)
        if values is not None and values.shape[0] != n:
            raise ValueError(f"values must have the length of items, {n}")
        bounds = np.zeros(n_items + 1, dtype=np.int64)
        self.additions = np.zeros(n_items, dtype=np.int64)
        cdef int64_t[::1] item_indptr = bounds, additions = self.additions, next
        # One more than there are, so that there is a first one.
        cdef int32_t[::1] users = np.empty(n + 1, dtype=np.int32)
        cdef int32_t[::1] places = np.empty(n + 1, dtype=np.int32)
        if n:
            while last < n_users:
                first, last = last, end_of_slice(last, n_users)
                with nogil:
                    count_users(&indptr[0], &items[0], first, last, &item_indptr[1])
            np.cumsum(bounds, out=bounds)
            next = bounds[:n_items].copy()
            last = 0
            while last < n_users:
                first, last = last, end_of_slice(last, n_users)
                with nogil:
                    list_users(&indptr[0], &items[0], first, last, whole, &next[0], &users[0],
                               &places[0], &additions[0])
        self.order = np.argsort(-self.additions, kind="stable").astype(np.int32)
        self.x.indptr = &indptr[0]
        self.x.items = &items[0] if n else NULL
        self.x.values = &values[0] if values is not None and n else NULL
        self.x.user_weights = &user_weights[0] if n_users else NULL
        self.x.item_indptr = &item_indptr[0]
        self.x.users = &users[0]
        self.x.places = &places[0]
        self.x.n_items = n_items
        self.arrays = indptr, items, values, user_weights, bounds, users, places


@final
cdef class Similarities:
    """Finds the items that share most with each item, as many at a time as the caller likes.

    Parameters are those of `nearest_items` in `recommender/item_weights.py`.
    """

    cdef _Histories histories
    cdef object item_scales
    cdef int threads
    cdef unique_ptr[NearestItems] nearest
    cdef readonly object neighbours    # int32 [n_items, k]
    cdef readonly object similarities  # float32 [n_items, k]

    def __init__(self, indptr, items, values, user_weights, item_scales, int64_t k, num_threads):
        cdef const float[::1] scales = item_scales
        cdef int64_t n_items = scales.shape[0]
        self.histories = _Histories(indptr, items, values, user_weights, n_items, True)
        self.item_scales = item_scales
        self.neighbours = np.empty((n_items, k), dtype=np.int32)
        self.similarities = np.empty((n_items, k), dtype=np.float32)
        self.threads = threads_for(num_threads, n_items)
        if n_items:
            self.nearest = make_unique[NearestItems](self.histories.x, &scales[0], k, self.threads)

    def steps(self):
        """Items, the dearest first, int32 [n_items], and the additions that each of these takes."""
        return self.histories.order, self.histories.additions[self.histories.order]

    def find(self, const int32_t[::1] items):
        """Find the neighbours of some items."""
        cdef int32_t[:, ::1] ids = self.neighbours
        cdef float[:, ::1] values = self.similarities
        cdef NearestItems* nearest = self.nearest.get()
        cdef int64_t piece
        cdef int threads = self.threads, thread
        cdef _Watch watch = _Watch(4)
        cdef unique_ptr[Pieces] pieces = make_unique[Pieces](items.shape[0], threads)
        with nogil:
            for thread in prange(threads, num_threads=threads, schedule="static", chunksize=1):
                piece = dereference(pieces).first(thread)
                while piece >= 0:
                    if not dereference(watch.keyboard).stops(thread):
                        nearest.find(thread, items[piece], &ids[items[piece], 0],
                                     &values[items[piece], 0])
                    piece = dereference(pieces).next(piece)
        watch.forward()


@final
cdef class Ridge:
    """The systems of equations of the weights of each item's neighbours, and their solutions.

    Parameters are those of `ridge_weights` in `recommender/item_weights.py`, which says what is
    done when. Without items, or neighbours, there is nothing to turn to.
    """

    cdef _Histories histories
    cdef object neighbours
    cdef int threads
    cdef unique_ptr[RidgeSystems] systems
    cdef object triangles          # float32, of the items from `first` on
    cdef int64_t first
    cdef readonly object counts    # int64 [n_items]: the neighbours of each item
    cdef readonly object begins    # int64 [n_items + 1]: where the triangle of each item is
    cdef readonly object weights   # float32 [n_items, k]

    def __init__(self, indptr, items, values, user_weights, neighbours, num_threads):
        cdef const int32_t[:, ::1] lists = neighbours
        cdef int64_t n_items = lists.shape[0], k = lists.shape[1], first, last = 0
        cdef bint sound
        self.histories = _Histories(indptr, items, values, user_weights, n_items, False)
        self.neighbours = neighbours
        self.counts = np.zeros(n_items, dtype=np.int64)
        self.weights = np.zeros((n_items, k), dtype=np.float32)
        self.threads = threads_for(num_threads, n_items)
        if self.weights.size == 0:
            return
        cdef int64_t[::1] counts = self.counts
        while last < n_items:
            first, last = last, end_of_slice(last, n_items)
            with nogil:
                sound = are_neighbours(&lists[0, 0], k, first, last, n_items, &counts[0])
            if not sound:
                raise ValueError(
                    "neighbours must have sorted distinct items of each item but itself, from 0 to "
                    f"{n_items - 1}, and -1 behind them"
                )
        self.begins = np.append(0, np.cumsum(self.counts * (self.counts + 1) // 2))
        cdef const int64_t[::1] begins = self.begins
        self.systems = make_unique[RidgeSystems](
            self.histories.x, &lists[0, 0], k, &counts[0], &begins[0], self.threads)

    def turn_to(self, int64_t first, int64_t last):
        """Turn to the systems of the items [first, last). Returns the rows of G that they need,
        int32, the dearest first, and the additions that each of these takes."""
        self.triangles = np.empty(self.begins[last] - self.begins[first] + 1, dtype=np.float32)
        self.first = first
        needed = np.zeros(len(self.counts), dtype=np.bool_)
        cdef float[::1] triangles = self.triangles
        cdef uint8_t[::1] flags = needed.view(np.uint8)
        cdef int64_t row
        dereference(self.systems).turn_to(first, last, &triangles[0])
        for row in range(flags.shape[0]):
            flags[row] = dereference(self.systems).needs(row)
        rows = self.histories.order[needed[self.histories.order]]
        return rows, self.histories.additions[rows]

    def make(self, const int32_t[::1] rows):
        """Make some rows of G and copy what the systems need of them."""
        cdef float[:, ::1] out = self.weights
        cdef RidgeSystems* systems = self.systems.get()
        cdef int64_t piece
        cdef int threads = self.threads, thread
        cdef _Watch watch = _Watch(4)
        cdef unique_ptr[Pieces] pieces = make_unique[Pieces](rows.shape[0], threads)
        with nogil:
            for thread in prange(threads, num_threads=threads, schedule="static", chunksize=1):
                piece = dereference(pieces).first(thread)
                while piece >= 0:
                    if not dereference(watch.keyboard).stops(thread):
                        systems.copy_row(thread, rows[piece], &out[0, 0])
                    piece = dereference(pieces).next(piece)
        watch.forward()

    def solve(self, int64_t begin, int64_t end, double l2):
        """Solve the systems of the items [begin, end), all of those that were turned to. What has
        no solution is NaN."""
        cdef float[:, ::1] out = self.weights
        cdef float[::1] triangles = self.triangles
        cdef const int64_t[::1] counts = self.counts, begins = self.begins
        cdef int64_t k = out.shape[1], piece, item, first = self.first
        cdef int threads = self.threads, thread
        cdef double[:, ::1] scratch = np.empty((threads, k * (k + 1)))
        cdef _Watch watch = _Watch(4)
        cdef unique_ptr[Pieces] pieces = make_unique[Pieces](end - begin, threads)
        with nogil:
            for thread in prange(threads, num_threads=threads, schedule="static", chunksize=1):
                piece = dereference(pieces).first(thread)
                while piece >= 0:
                    item = begin + piece
                    if not dereference(watch.keyboard).stops(thread):
                        if not kernels.solve_ridge(
                            &triangles[begins[item] - begins[first]], counts[item], l2,
                            &scratch[thread, 0], &out[item, 0],
                        ):
                            out[item, 0] = NAN
                    piece = dereference(pieces).next(piece)
        watch.forward()


# ---- ids ----

@final
cdef class Numbers:
    """The numbers that a mapping gives to ids, for many ids at a time (`_kernels/ids.hpp`).

    Parameters
    ----------
    mapping : dict
        From ids to numbers below 2**31; while this object is in use, numbers may be added but not
        changed.
    """

    cdef readonly dict mapping
    cdef unique_ptr[IdTable] table

    def __init__(self, dict mapping not None):
        self.mapping = mapping
        self.table = make_unique[IdTable](<bint> (not mapping))

    def add(self, list ids not None):
        """Number the ids that the mapping does not know, from its length on, in their order."""
        number_list(dereference(self.table), self.mapping, True, ids, NULL)

    def of(self, list ids not None):
        """The numbers, int32 [n], of ids. A KeyError holds the first that is unknown."""
        cdef Py_ssize_t n = len(ids), done
        numbers = np.empty(n, dtype=np.int32)
        cdef int32_t[::1] out = numbers
        if n:
            done = number_list(dereference(self.table), self.mapping, False, ids, &out[0])
            if done < n:
                raise KeyError(ids[done])
        return numbers


def numbers_of_rows(Numbers users not None, Numbers items not None, list rows not None):
    """The numbers, int32 [n], of users and items, and the weights, float64 [n], of tuples
    (user, item) or (user, item, weight).

    None where an id is unknown, or is not a text or an integer, or a row is not such a tuple, or a
    weight not a Python number.
    """
    cdef Py_ssize_t n = len(rows)
    of_users, of_items = np.empty(n, dtype=np.int32), np.empty(n, dtype=np.int32)
    of_weights = np.empty(n, dtype=np.float64)
    cdef int32_t[::1] row = of_users, col = of_items
    cdef double[::1] weights = of_weights
    if n and not number_rows(dereference(users.table), users.mapping, dereference(items.table),
                             items.mapping, rows, &row[0], &col[0], &weights[0]):
        return None
    return of_users, of_items, of_weights
