"""The compiled core: typed views, random streams, thread count, the parallel loops, numbers of ids.

The path of a fit, from `LightFM.fit_partial` to the inner loop:

1. `Interactions` packs the stored interactions into 8 bytes each (4 more for a sample weight, 4 for
   a value where the loss uses it) and, when a loss asks, finds the sorted distinct items of each
   user and fills a filter.
2. `Parameters` packs one side's arrays into aligned rows (`_kernels/interface.hpp`).
3. `Trainer.epoch` shuffles the packed interactions and runs a `prange` over blocks of them; each
   block goes to a kernel of `_kernels/isa.cpp`, chosen by loss, schedule, row length and
   instruction level. No formula is in this file.
4. `Parameters.unpack` writes the arrays back.

Memory of a fit: 16 bytes an interaction (24 with weights or values, 32 with both), 4 + 13/8 bytes
per known pair (while they are found, per interaction), and the packed rows.
"""

from cpython.exc cimport PyErr_CheckSignals
from cython.operator cimport dereference
from cython.parallel cimport prange
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libcpp.memory cimport make_unique, unique_ptr

import os
from time import perf_counter

import numpy as np

cdef extern from *:
    """
    #ifdef _OPENMP
    #include <omp.h>
    static const int lfm_has_openmp = 1;
    static inline int lfm_thread(void) { return omp_get_thread_num(); }
    #else
    static const int lfm_has_openmp = 0;
    static inline int lfm_thread(void) { return 0; }
    #endif
    """
    int lfm_has_openmp
    int lfm_thread() noexcept nogil

cdef extern from "_kernels/interface.hpp" namespace "lfm" nogil:
    cdef int N_LOSSES
    cdef int N_SCHEDULES
    cdef int BPR
    cdef int WARP
    cdef int WARP_KOS
    cdef int SGD
    const char** LOSS_NAMES
    const bint* DRAWS_NEGATIVES
    const char** SCHEDULE_NAMES
    cdef uint32_t NOT_POSITIVE
    cdef int PANEL
    cdef int USERS_AT_ONCE
    cdef int USERS_IN_BLOCK
    cdef int TILE

    cdef struct FeatureMatrix:
        const int64_t* indptr
        const int32_t* indices
        const float* data

    cdef struct Side:
        float* rows
        float* biases
        int64_t row_stride
        int64_t bias_stride
        FeatureMatrix features
        double alpha
        int64_t n_frozen

    cdef struct Known:
        const int64_t* indptr
        const int32_t* items
        const uint64_t* filter
        int64_t n_items

    cdef struct Disliked:
        const int64_t* indptr
        const int32_t* items
        float share

    cdef struct Sums:
        double loss
        int64_t examples
        int64_t violations
        int64_t tries
        float usual_tries

    cdef struct Scales:
        double user
        double item
        int32_t full

    cdef struct Problem:
        Side users
        Side items
        Known known
        Disliked disliked
        const uint32_t* interactions
        const uint32_t* order
        int32_t words
        bint has_values
        int64_t n_interactions
        int32_t n_items
        int32_t n_occurring
        int32_t no_components
        int32_t lanes
        float learning_rate
        float last_learning_rate
        float rho
        float epsilon
        int64_t max_sampled
        int32_t k
        int32_t n
        float temperature
        int32_t n_negatives
        const float* warp_weights
        int64_t n_warp_weights
        uint64_t seed
        Scales* scales

    ctypedef void (*BlockKernel)(
        const Problem& problem, float* scratch, Sums* sums, int64_t* position, int64_t end
    ) noexcept nogil

    int64_t scratch_floats(int loss, const Problem& problem, int64_t n_kept)

    cdef struct Representations:
        const float* vectors
        const float* biases

    cdef struct Kernels:
        BlockKernel (*block_kernel)(int loss, int schedule, const Problem& problem) noexcept nogil
        void (*score_pairs)(
            const Representations& users, const Representations& items, int32_t no_components,
            const int32_t* user_ids, int64_t user_step, const int32_t* item_ids, int64_t n,
            float* out
        ) noexcept nogil
        void (*pack_panels)(
            const Representations& items, int32_t n_items, int32_t no_components, float* panels
        ) noexcept nogil
        void (*rank_users)(
            const Representations& users, const float* panels, int32_t n_items,
            int32_t no_components, const int32_t* user_ids, int32_t n,
            const int64_t* test_indptr, const int32_t* test_indices,
            const int64_t* train_indptr, const int32_t* train_indices,
            float* scratch, float* targets, float* ranks, uint8_t* in_train
        ) noexcept nogil
        void (*top_items)(
            const Representations& users, int32_t n, const Representations& items,
            const float* panels, int32_t n_items, int32_t no_components, const int64_t* begins,
            const int64_t* ends, const int32_t* excluded, int32_t k, float* scratch,
            int32_t* ids, float* scores
        ) noexcept nogil

cdef extern from "_kernels/dispatch.hpp" namespace "lfm" nogil:
    cdef struct Level:
        const char* name
        const Kernels* kernels
        bint supported
    cdef int N_LEVELS
    const Level* levels()
    const char* compiler()

cdef extern from "_kernels/interactions.hpp" namespace "lfm" nogil:
    cdef int64_t CHUNK
    int bucket_bits(int64_t n)
    void count_buckets(int64_t n, int64_t first, int64_t last, int bits, uint64_t seed,
                       int64_t* counts)
    void scatter(const uint32_t* interactions, int words, int64_t n, int64_t first, int64_t last,
                 int bits, uint64_t seed, int64_t* next, uint32_t* order)
    cdef int MAX_CLASSES
    void shuffle_bucket(uint32_t* order, int words, int64_t n, int64_t bucket, uint64_t seed)
    void partition_window(uint32_t* order, int words, int64_t n, const uint8_t* classes,
                          int n_classes, int64_t* begins, uint32_t* buffer)
    void swap_down(const int32_t* partners, int64_t n, int64_t end, int32_t* order)
    void gather[T](const T* source, const int32_t* order, int64_t n, T* out)
    bint all_finite(const float* rows, int64_t n_rows, int64_t stride, int64_t n_floats)
    void fill_filter(const int64_t* indptr, const int32_t* items, int64_t user, int64_t n_items,
                     uint64_t* filter)
    int64_t filter_begin(const int64_t* indptr, int64_t user)

cdef extern from "_kernels/queue.hpp" namespace "lfm" nogil:
    cdef cppclass Queue:
        Queue(int n_classes) except +
        void offer(int64_t first, int64_t last)
        int64_t take(int thread)

cdef extern from "_kernels/ids.hpp" namespace "lfm":
    cdef cppclass IdTable:
        IdTable(bint empty) except +
    Py_ssize_t number_list(IdTable& table, dict mapping, bint add, list ids,
                           int32_t* out) except -1
    int number_rows(IdTable& users, dict user_mapping, IdTable& items, dict item_mapping, list rows,
                    int32_t* row, int32_t* col, double* weights) except -1

LOSSES = tuple(LOSS_NAMES[i].decode() for i in range(N_LOSSES))
SCHEDULES = tuple(SCHEDULE_NAMES[i].decode() for i in range(N_SCHEDULES))

# Examples a thread takes at a time: enough that taking them costs nothing. With several threads,
# the examples of a window, one block a thread, are trained on class by class where all share a CPU;
# measured on MovieLens 100K, four blocks of 512 of a class in a row cost WARP 0.001 of its AUC, 128
# nothing.
cdef int64_t BLOCK = 512, SHARED_BLOCK = 128
# Seconds between two looks at the keyboard, about: a round of blocks grows until it takes as long.
cdef double ROUND_SECONDS = 0.03

# ---- instruction levels and threads ----

cdef const Kernels* kernels = NULL
cdef str level_name = ""


def available_levels():
    """Names of the instruction levels this CPU can run, slowest first."""
    return tuple(
        levels()[i].name.decode() for i in range(N_LEVELS) if levels()[i].supported
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
    if single_threaded:
        return 1
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


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


def aligned_zeros(*shape):
    """A float32 array of zeros that starts on a cache line."""
    size = int(np.prod(shape))
    # NumPy asks for huge pages in `empty`, not in `zeros`; rows are read at random, and without
    # huge pages most of the time goes into address translation.
    buffer = np.empty(size + 16, dtype=np.float32)
    start = -buffer.ctypes.data % 64 // 4
    aligned = buffer[start:start + size].reshape(shape)
    aligned[...] = 0
    return aligned


# ---- what a fit works on ----

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
        Candidates for negatives: the rows of the item features.
    """

    cdef readonly object words          # uint32 [nnz, 2 to 4], in the caller's order
    cdef readonly bint has_values
    cdef readonly object known_indptr   # int64 [n_users + 1]
    cdef readonly object known_items    # int32 [n known pairs]
    cdef readonly object filter         # uint64
    cdef readonly int n_occurring
    cdef int64_t n_users
    cdef int32_t n_items
    cdef object disliked                # (indptr int64, items int32) of the items <= 0, or None

    def __init__(self, rows, cols, positive, values, weights, int64_t n_users, int32_t n_items):
        further = [column for column in (values, weights) if column is not None]
        words = np.empty((len(rows), 2 + len(further)), dtype=np.uint32)
        words[:, 0] = rows
        words[:, 1] = cols
        if positive is not None:
            words[:, 0] |= np.where(positive, np.uint32(0), np.uint32(NOT_POSITIVE))
        for at, column in enumerate(further, 2):
            words[:, at] = column.view(np.uint32)
        self.words = words
        self.has_values = values is not None
        self.n_users = n_users
        self.n_items = n_items
        self.disliked = None
        # Found when a loss first asks (`find_known`); logistic never does.
        self.known_indptr = np.zeros(1, dtype=np.int64)
        self.known_items = np.empty(0, dtype=np.int32)
        self.filter = np.empty(0, dtype=np.uint64)
        self.n_occurring = 0

    cdef find_known(self):
        """Find the sorted distinct items of each user, and fill the filter, once."""
        cdef const uint32_t[:, ::1] words = self.words
        cdef int64_t n = words.shape[0], n_users = self.n_users, i, user, item, size
        if self.n_occurring or n == 0:
            return
        # Grouping by item first makes the items of each user arrive in order: no sort is needed,
        # and a repeat is seen at once.
        counts = self.count_items()
        self.n_occurring = int(np.count_nonzero(counts))
        cdef int64_t[::1] item_end = np.cumsum(counts) - counts
        cdef int64_t[::1] begin = np.zeros(n_users + 1, dtype=np.int64)
        cdef int64_t[::1] indptr = np.zeros(n_users + 1, dtype=np.int64)
        cdef uint32_t[::1] by_item = np.empty(n, dtype=np.uint32)
        known = np.empty(n, dtype=np.int32)
        cdef int32_t[::1] items = known
        with nogil:
            for i in range(n):
                user = words[i, 0] & ~NOT_POSITIVE
                begin[user + 1] += 1
                by_item[item_end[words[i, 1]]] = <uint32_t> user
                item_end[words[i, 1]] += 1
            for user in range(n_users):
                begin[user + 1] += begin[user]
            i = 0
            for item in range(item_end.shape[0]):
                for i in range(i, item_end[item]):
                    user = by_item[i]
                    size = indptr[user + 1]
                    if size == 0 or items[begin[user] + size - 1] != item:
                        items[begin[user] + size] = <int32_t> item
                        indptr[user + 1] = size + 1
                i = item_end[item]
            for user in range(n_users):
                if indptr[user] < begin[user]:  # repeats were dropped before
                    for i in range(indptr[user + 1]):
                        items[indptr[user] + i] = items[begin[user] + i]
                indptr[user + 1] += indptr[user]
        # A copy where repeats were dropped, so that their memory is freed.
        size = indptr[n_users]
        self.known_items = known if size == n else known[:size].copy()
        self.known_indptr = np.asarray(indptr)
        self.filter = np.zeros(filter_begin(&indptr[0], n_users) + 1, dtype=np.uint64)
        cdef uint64_t[::1] filter = self.filter
        with nogil:
            for user in range(n_users):
                fill_filter(&indptr[0], &items[0], user, self.n_items, &filter[0])

    cdef count_items(self):
        """How many interactions each item has, int64. (np.bincount would copy all items.)"""
        cdef const uint32_t[:, ::1] words = self.words
        cdef int64_t i
        cdef uint32_t highest = 0
        for i in range(words.shape[0]):
            highest = max(highest, words[i, 1])
        counts = np.zeros(<int64_t> highest + 1, dtype=np.int64)
        cdef int64_t[::1] of_item = counts
        with nogil:
            for i in range(words.shape[0]):
                of_item[words[i, 1]] += 1
        return counts

    cdef find_disliked(self):
        """Find the distinct items of each user that are stored as <= 0 and never as positive."""
        if self.disliked is not None:
            return self.disliked
        users, items = self.words[:, 0].astype(np.int64), self.words[:, 1].astype(np.int64)
        negative = users >= NOT_POSITIVE
        pairs = (users & ~<int64_t> NOT_POSITIVE) << 32 | items
        pairs = np.setdiff1d(pairs[negative], pairs[~negative])
        indptr = np.searchsorted(pairs, np.arange(self.n_users + 1) << 32)
        self.disliked = indptr, (pairs & 0xFFFFFFFF).astype(np.int32)
        return self.disliked


cdef class Parameters:
    """One side's parameters, packed into aligned rows for the length of a fit.

    Parameters
    ----------
    embeddings, biases : lists of arrays
        The values and, behind them, their states: `[x]` for sgd, `[x, G]` for adagrad,
        `[x, G, M]` for adadelta; embeddings float32 [n_features, no_components], biases float32
        [n_features].
    n_frozen : int, default 0
        The first so many features stay as they are, but for a division by the scale of L2.
    """

    cdef readonly object rows      # float32 [n_features, parts, lanes]
    cdef readonly object biases    # float32 [n_features, 1, 2 or 4], None when they are in the rows
    cdef readonly int no_components
    cdef int64_t n_frozen

    def __init__(self, embeddings, biases, n_frozen=0):
        n_features, no_components = embeddings[0].shape
        parts = len(embeddings)
        self.no_components = no_components
        self.n_frozen = n_frozen
        self.rows = aligned_zeros(n_features, parts, ceil_divide(no_components, 16) * 16)
        self.rows[:, 1:2, no_components:] = np.inf
        in_row = no_components % 16 != 0
        self.biases = None if in_row else aligned_zeros(n_features, 4 if parts == 3 else parts)
        for part in range(parts):
            self.rows[:, part, :no_components] = embeddings[part]
            self._biases(part)[:] = biases[part]

    def _biases(self, part):
        """View of part `part` of the biases, wherever they live."""
        if self.biases is None:
            return self.rows[:, part, self.no_components]
        return self.biases[:, part]

    def unpack(self, embeddings, biases):
        """Write the packed values into the arrays that `__init__` read."""
        for part in range(len(embeddings)):
            embeddings[part][:] = self.rows[:, part, :self.no_components]
            biases[part][:] = self._biases(part)

    def divide(self, double scale):
        """Divide the values, not their states, by an L2 scale."""
        if scale != 1.0:
            self.rows[:, 0] *= np.float32(1.0 / scale)
            if self.biases is not None:
                self.biases[:, 0] *= np.float32(1.0 / scale)

    def is_finite(self):
        """Whether every value is finite."""
        cdef const float[:, :, ::1] rows = self.rows
        cdef const float[:, ::1] biases
        if rows.shape[0] == 0:
            return True
        if not all_finite(&rows[0, 0, 0], rows.shape[0], rows.shape[1] * rows.shape[2],
                          rows.shape[2]):
            return False
        if self.biases is None:
            return True
        biases = self.biases
        return all_finite(&biases[0, 0], biases.shape[0], biases.shape[1], 1)

    cdef Side side(self, features, double alpha):
        cdef Side side
        cdef float[:, :, ::1] rows = self.rows
        cdef float[:, ::1] biases
        cdef const int64_t[::1] indptr
        cdef const int32_t[::1] indices
        cdef const float[::1] data
        side.rows = &rows[0, 0, 0] if rows.shape[0] else NULL
        side.row_stride = rows.shape[1] * rows.shape[2]
        side.biases = NULL
        side.bias_stride = 0
        if self.biases is not None:
            biases = self.biases
            side.biases = &biases[0, 0] if biases.shape[0] else NULL
            side.bias_stride = biases.shape[1]
        side.features.indptr = NULL
        side.features.indices = NULL
        side.features.data = NULL
        if features is not None:
            indptr, indices, data = features
            side.features.indptr = &indptr[0]
            side.features.indices = &indices[0] if indices.shape[0] else NULL
            side.features.data = &data[0] if data.shape[0] else NULL
        side.alpha = alpha if self.n_frozen < rows.shape[0] else 0.0
        side.n_frozen = self.n_frozen
        return side


cdef class Trainer:
    """Runs epochs of one fit.

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
    (`_kernels/queue.hpp`).
    """

    cdef Interactions interactions
    cdef Parameters users
    cdef Parameters items
    cdef object user_features
    cdef object item_features
    cdef int schedule
    cdef object order
    cdef object item_classes       # uint8 [n_items of the interactions]
    cdef int n_classes

    def __init__(self, Interactions interactions, Parameters users, Parameters items,
                 user_features, item_features, str learning_schedule):
        self.interactions = interactions
        self.users = users
        self.items = items
        self.user_features = user_features
        self.item_features = item_features
        self.schedule = SCHEDULES.index(learning_schedule)
        self.order = np.empty_like(interactions.words)
        self.item_classes = None
        self.n_classes = 0

    def epoch(self, settings, seed, num_threads, double done=0.0, double after=0.0):
        """Go through all interactions once, in a random order that `seed` (uint64) decides.

        `settings` are the checked parameters of the model by name; `done` and `after` are the
        shares of the fit's epochs that are over before and after this one, by which sgd's learning
        rate has fallen. Returns sums over the epoch: losses, examples that were trained on or
        looked at in vain, violations and tries.
        """
        cdef int loss = LOSSES.index(settings["loss"])
        cdef int64_t max_sampled = settings["max_sampled"]
        if DRAWS_NEGATIVES[loss]:
            self.interactions.find_known()
        cdef const uint32_t[:, ::1] words = self.interactions.words
        cdef const uint32_t[:, ::1] order = self.order
        cdef const int64_t[::1] known_indptr = self.interactions.known_indptr
        cdef const int32_t[::1] known_items = self.interactions.known_items
        cdef const uint64_t[::1] filter = self.interactions.filter
        # ln(max(1, floor((n_items - 1) / tries))) is 0 from tries = n_items on.
        cdef int32_t n_items = self.interactions.n_items
        tries = np.arange(1, max(1, min(max_sampled, n_items)) + 1)
        cdef const float[::1] warp_weights = np.log(
            np.maximum(1, (n_items - 1) // tries)
        ).astype(np.float32)
        cdef int64_t n_interactions = words.shape[0]
        if n_interactions == 0:
            return 0.0, 0, 0, 0
        cdef int threads = threads_for(num_threads, ceil_divide(n_interactions, SHARED_BLOCK))
        cdef int n_classes = min(threads, MAX_CLASSES), thread
        cdef int64_t[::1] positions = self._order(seed, threads, n_classes)
        cdef int64_t n_windows = positions.shape[0] // n_classes
        cdef const int64_t[::1] ends = np.append(positions[1:], n_interactions)

        cdef Problem problem
        cdef Scales scales
        scales.user = 1.0
        scales.item = 1.0
        scales.full = 0
        problem.users = self.users.side(self.user_features, settings["user_alpha"])
        problem.items = self.items.side(self.item_features, settings["item_alpha"])
        problem.known.indptr = &known_indptr[0]
        problem.known.items = &known_items[0] if known_items.shape[0] else NULL
        problem.known.filter = &filter[0] if filter.shape[0] else NULL
        problem.known.n_items = n_items
        cdef const int64_t[::1] disliked_indptr
        cdef const int32_t[::1] disliked_items
        problem.disliked.indptr = NULL
        problem.disliked.items = NULL
        problem.disliked.share = settings["stored_negatives"]
        if loss in (BPR, WARP) and problem.disliked.share > 0:
            disliked_indptr, disliked_items = self.interactions.find_disliked()
            if disliked_items.shape[0]:
                problem.disliked.indptr = &disliked_indptr[0]
                problem.disliked.items = &disliked_items[0]
        problem.interactions = &words[0, 0]
        problem.order = &order[0, 0]
        problem.words = <int32_t> words.shape[1]
        problem.has_values = self.interactions.has_values
        problem.n_interactions = n_interactions
        problem.n_items = n_items
        problem.n_occurring = self.interactions.n_occurring
        problem.no_components = self.users.no_components
        problem.lanes = <int32_t> self.users.rows.shape[2]
        problem.learning_rate = settings["learning_rate"]
        problem.last_learning_rate = problem.learning_rate
        if self.schedule == SGD:
            problem.learning_rate = settings["learning_rate"] * (1.0 - done)
            problem.last_learning_rate = settings["learning_rate"] * (1.0 - after)
        problem.rho = settings["rho"]
        problem.epsilon = settings["epsilon"]
        problem.max_sampled = max_sampled
        problem.k = settings["k"]
        problem.n = settings["n"]
        problem.temperature = settings["temperature"]
        problem.n_negatives = settings["n_negatives"]
        problem.warp_weights = &warp_weights[0]
        problem.n_warp_weights = warp_weights.shape[0]
        problem.seed = seed
        problem.scales = &scales
        cdef BlockKernel kernel = kernels.block_kernel(loss, self.schedule, problem)

        # k-OS keeps the best k of at most n drawn positives.
        cdef int64_t n_kept = 0
        if loss == WARP_KOS:
            n_kept = min(min(problem.k, problem.n), <int64_t> np.diff(known_indptr).max())
        cdef float[:, ::1] scratch = aligned_zeros(threads, scratch_floats(loss, problem, n_kept))
        # One cache line a thread.
        cdef float[:, ::1] sums_of_threads = aligned_zeros(threads, sizeof(Sums) // sizeof(float))
        cdef Sums* sums = <Sums*> &sums_of_threads[0, 0]
        for thread in range(threads):
            sums[thread].usual_tries = 2.0
        cdef unique_ptr[Queue] queue = make_unique[Queue](n_classes)
        cdef int64_t first = 0, last, round_windows = 16, block
        cdef int round_threads
        cdef double start, took
        try:
            while first < n_windows:
                last = min(first + round_windows, n_windows)
                round_threads = threads
                start = perf_counter()
                while True:
                    dereference(queue).offer(first, last)
                    with nogil:
                        for thread in prange(round_threads, num_threads=round_threads,
                                             schedule="static", chunksize=1):
                            block = dereference(queue).take(thread)
                            while block >= 0:
                                kernel(problem, &scratch[thread, 0], &sums[thread],
                                       &positions[block], ends[block])
                                block = dereference(queue).take(thread)
                    if not scales.full:
                        break
                    # Some block stopped because a scale had passed its limit: start again from 1,
                    # and let every block go on from where it was. An L2 that does so often would
                    # keep threads waiting for each other, so one ends the round.
                    self._apply_scales(&scales)
                    round_threads = 1
                    PyErr_CheckSignals()
                PyErr_CheckSignals()
                first = last
                took = perf_counter() - start
                if took < ROUND_SECONDS / 2:
                    round_windows *= 2
                elif took > 2 * ROUND_SECONDS:
                    round_windows = max(round_windows // 2, 1)
        finally:
            self._apply_scales(&scales)
        for thread in range(1, threads):
            sums[0].loss += sums[thread].loss
            sums[0].examples += sums[thread].examples
            sums[0].violations += sums[thread].violations
            sums[0].tries += sums[thread].tries
        return sums[0].loss, sums[0].examples, sums[0].violations, sums[0].tries

    cdef _apply_scales(self, Scales* scales):
        self.users.divide(scales.user)
        self.items.divide(scales.item)
        scales.user = 1.0
        scales.item = 1.0
        scales.full = 0

    cdef _order(self, uint64_t seed, int threads, int n_classes):
        """Shuffle the interactions into the epoch's order; returns where its blocks begin.

        These are int64 [n_windows * n_classes], window by window.
        """
        cdef const uint32_t[:, ::1] words = self.interactions.words
        cdef uint32_t[:, ::1] order = self.order
        cdef int64_t n = words.shape[0]
        cdef int width = <int> words.shape[1], bits = bucket_bits(n)
        cdef int64_t n_chunks = ceil_divide(n, CHUNK), n_buckets = 1 << bits, part, bucket
        # Part p of the chunks is counted and scattered by one thread; in each bucket, the places
        # of part p come after those of the parts before it.
        cdef int n_parts = <int> min(threads, n_chunks)
        cdef int64_t[::1] bounds = np.linspace(0, n_chunks, n_parts + 1).astype(np.int64)
        counts = np.empty((n_parts, n_buckets), dtype=np.int64)
        cdef int64_t[:, ::1] next = counts
        with nogil:
            for part in prange(n_parts, num_threads=n_parts, schedule="static", chunksize=1):
                count_buckets(n, bounds[part], bounds[part + 1], bits, seed, &next[part, 0])
        sizes = counts.sum(axis=0)
        cdef int64_t[::1] starts = np.cumsum(sizes) - sizes
        cdef int64_t[::1] ends = np.asarray(starts) + sizes
        counts[:] = np.asarray(starts) + np.cumsum(counts, axis=0) - counts

        with nogil:
            for part in prange(n_parts, num_threads=n_parts, schedule="static", chunksize=1):
                scatter(&words[0, 0], width, n, bounds[part], bounds[part + 1], bits, seed,
                        &next[part, 0], &order[0, 0])
            for bucket in prange(n_buckets, num_threads=threads, schedule="dynamic", chunksize=1):
                shuffle_bucket(&order[starts[bucket], 0], width, ends[bucket] - starts[bucket],
                               bucket, seed)

        cdef int64_t size = SHARED_BLOCK * n_classes if n_classes > 1 else BLOCK
        cdef int64_t n_windows = ceil_divide(n, size), window
        cdef int64_t[::1] begins = np.repeat(np.arange(n_windows) * size, n_classes)
        if n_classes == 1:
            return begins
        if n_classes != self.n_classes:
            self._deal_classes(n_classes)
        cdef const uint8_t[::1] classes = self.item_classes
        cdef uint32_t[:, ::1] buffers = np.empty((threads, size * width), dtype=np.uint32)
        with nogil:
            for window in prange(n_windows, num_threads=threads, schedule="static"):
                partition_window(&order[window * size, 0], width, min(size, n - window * size),
                                 &classes[0], n_classes, &begins[window * n_classes],
                                 &buffers[lfm_thread(), 0])
        return begins

    cdef _deal_classes(self, int n_classes):
        """Deal the items into classes with about as many interactions each."""
        counts = self.interactions.count_items()
        place = np.empty(len(counts), dtype=np.int64)
        place[np.argsort(-counts, kind="stable")] = np.arange(len(counts))
        # To and fro, most popular first.
        turn, at = place // n_classes, place % n_classes
        self.item_classes = np.where(turn % 2 == 0, at, n_classes - 1 - at).astype(np.uint8)
        self.n_classes = n_classes


# ---- scores and ranks ----

cdef Representations as_representations(
    const float[:, ::1] vectors, const float[::1] biases, int32_t no_components
):
    cdef Representations both
    if vectors.shape[0] != biases.shape[0] or vectors.shape[1] != no_components:
        raise ValueError("vectors and biases of users and items do not fit each other")
    both.vectors = &vectors[0, 0] if vectors.shape[0] else NULL
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
    cdef int threads = threads_for(num_threads, n_blocks)
    out = np.empty(n, dtype=np.float32)
    cdef float[::1] scores = out
    with nogil:
        for block in prange(n_blocks, num_threads=threads, schedule="static"):
            start = block * 1024
            kernels.score_pairs(users, items, no_components, &user_ids[start * user_step],
                                user_step, &item_ids[start], min(1024, n - start), &scores[start])
    return out


cdef class Items:
    """Representations of items, and a copy of them packed for the ranking kernels.

    Parameters
    ----------
    biases : float32 [n_items]
    vectors : float32 [n_items, no_components]
    packed : bool
        Whether to pack them; for a few users it would cost more than it saves.
    """

    cdef Representations representations
    cdef int32_t n_items
    cdef int32_t no_components
    cdef object arrays
    cdef const float* panels

    def __init__(self, const float[::1] biases, const float[:, ::1] vectors, packed):
        cdef float[::1] panels
        self.n_items = <int32_t> vectors.shape[0]
        self.no_components = <int32_t> vectors.shape[1]
        self.representations = as_representations(vectors, biases, self.no_components)
        self.panels = NULL
        if packed and self.n_items:
            panels = aligned_zeros(
                ceil_divide(self.n_items, PANEL) * PANEL * (self.no_components + 1)
            )
            with nogil:
                kernels.pack_panels(self.representations, self.n_items, self.no_components,
                                    &panels[0])
            self.panels = &panels[0]
            self.arrays = biases, vectors, panels
        else:
            self.arrays = biases, vectors

    def best(self, const float[::1] user_biases, const float[:, ::1] user_vectors,
             const int64_t[::1] begins, const int64_t[::1] ends, const int32_t[::1] excluded,
             int32_t[:, ::1] ids, float[:, ::1] scores, num_threads):
        """Write the best items of n users to `ids` and `scores`, int32 and float32 [n, k].

        User u does not get excluded[begins[u] .. ends[u]), which are sorted.
        """
        cdef Representations users = as_representations(
            user_vectors, user_biases, self.no_components
        )
        cdef int64_t n = user_vectors.shape[0], block, first
        cdef int32_t k = <int32_t> ids.shape[1]
        if n == 0:
            return
        cdef int threads = threads_for(num_threads, ceil_divide(n, USERS_AT_ONCE))
        # Whole groups of users, and enough blocks for all threads.
        cdef int64_t size = min(
            <int64_t> USERS_IN_BLOCK,
            ceil_divide(ceil_divide(n, threads), USERS_AT_ONCE) * USERS_AT_ONCE,
        )
        cdef int64_t n_blocks = ceil_divide(n, size)
        cdef float[:, ::1] scratch = aligned_zeros(threads, USERS_AT_ONCE * TILE)
        cdef const int32_t* out = &excluded[0] if excluded.shape[0] else NULL
        with nogil:
            for block in prange(n_blocks, num_threads=threads, schedule="dynamic", chunksize=1):
                first = block * size
                kernels.top_items(
                    shifted(users, first, self.no_components), <int32_t> min(size, n - first),
                    self.representations, self.panels, self.n_items, self.no_components,
                    &begins[first], &ends[first], out, k, &scratch[lfm_thread(), 0],
                    &ids[first, 0], &scores[first, 0],
                )

    def ranks(self, const float[::1] user_biases, const float[:, ::1] user_vectors,
              const int64_t[::1] test_indptr, const int32_t[::1] test_indices,
              const int64_t[::1] train_indptr, const int32_t[::1] train_indices, num_threads):
        """Ranks, float32 [nnz], of the entries of a CSR test matrix, and which of them, bool [nnz],
        are in train, whose rows are sorted. The items must have been packed."""
        cdef Representations users = as_representations(
            user_vectors, user_biases, self.no_components
        )
        out = np.zeros(test_indices.shape[0], dtype=np.float32)
        flags = np.zeros(test_indices.shape[0], dtype=np.uint8)
        cdef float[::1] ranks = out, targets = np.empty_like(out)
        cdef uint8_t[::1] in_train = flags
        # Only users with test entries cost anything.
        cdef const int32_t[::1] user_ids = np.flatnonzero(np.diff(test_indptr)).astype(np.int32)
        cdef int64_t n_users = user_ids.shape[0], group, first
        cdef int64_t n_groups = ceil_divide(n_users, USERS_AT_ONCE)
        if n_users == 0:
            return out, flags.view(np.bool_)
        cdef int threads = threads_for(num_threads, n_groups)
        cdef float[:, ::1] scratch = aligned_zeros(threads, USERS_AT_ONCE * TILE)
        cdef const int32_t* train = &train_indices[0] if train_indices.shape[0] else NULL
        with nogil:
            for group in prange(n_groups, num_threads=threads, schedule="dynamic", chunksize=1):
                first = group * USERS_AT_ONCE
                kernels.rank_users(
                    users, self.panels, self.n_items, self.no_components, &user_ids[first],
                    <int32_t> min(USERS_AT_ONCE, n_users - first), &test_indptr[0],
                    &test_indices[0], &train_indptr[0], train, &scratch[lfm_thread(), 0],
                    &targets[0], &ranks[0], &in_train[0],
                )
        return out, flags.view(np.bool_)


# ---- shuffling for the caller ----

def swap_with_partners(int32_t[::1] order, const int32_t[::1] partners, int64_t end):
    """Swap items i and partners[i] <= i of `order`, for i from the last down to `end`."""
    if order.shape[0]:
        with nogil:
            swap_down(&partners[0], order.shape[0], end, &order[0])


ctypedef fused Bits:
    uint32_t
    uint64_t


def take_in_order(const Bits[::1] source, const int32_t[::1] order, Bits[::1] out):
    """Write source[order] to `out`; `order` holds places of `source`."""
    if order.shape[0]:
        with nogil:
            gather(&source[0], &order[0], order.shape[0], &out[0])


# ---- ids ----

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
