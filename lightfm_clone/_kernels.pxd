"""What the compiled core uses of the C++ in `_kernels/`, declared as it is there."""

from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

cdef extern from *:
    """
    #ifdef _OPENMP
    static const int lfm_has_openmp = 1;
    #else
    static const int lfm_has_openmp = 0;
    #endif
    """
    int lfm_has_openmp

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
    cdef int INFLUENCE_TILE
    cdef int PANEL
    cdef int USERS_AT_ONCE
    cdef int USERS_IN_BLOCK

    cdef struct FeatureMatrix:
        const int64_t* indptr
        int64_t parts
        const int32_t* indices
        const float* data
        const int64_t* rare_indptr
        const int32_t* rare

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
        int64_t cut
        float usual_tries

    cdef struct AliasColumn:
        uint32_t own
        int32_t other

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
        const int32_t* candidates
        int32_t n_candidates
        const AliasColumn* popularity
        const uint8_t* saturated
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
        double identity_dropout
        uint64_t seed
        Scales* scales

    ctypedef void (*BlockKernel)(
        const Problem& problem, float* scratch, Sums* sums, int64_t* position, int64_t end
    ) noexcept nogil

    int64_t scratch_floats(int loss, const Problem& problem, int64_t n_kept)

    cdef struct Representations:
        const float* vectors
        const float* biases

    ctypedef struct Sparse:
        const int64_t* indptr
        const int32_t* indices
        const float* values

    ctypedef struct SparseTile:
        const int32_t* indptr
        const uint16_t* indices
        const float* values

    cdef struct Influence:
        Sparse histories
        Sparse rows
        const SparseTile* tiles
        Sparse columns
        int64_t n_rows
        float* dense

    int32_t tile_size(const Influence& influence, int32_t n_items)

    cdef struct Kernels:
        BlockKernel (*block_kernel)(int loss, int schedule, const Problem& problem) noexcept nogil
        void (*score_pairs)(
            const Representations& users, const Representations& items, int32_t no_components,
            const int32_t* user_ids, int64_t user_step, const int32_t* item_ids, int64_t n,
            float* out
        ) noexcept nogil
        void (*add_influence)(
            const Influence& influence, const int32_t* user_ids, const int32_t* item_ids,
            int64_t n, float* out
        ) noexcept nogil
        void (*pack_panels)(
            const Representations& items, int32_t n_items, int32_t no_components, float* panels
        ) noexcept nogil
        void (*rank_users)(
            const Representations& users, const Influence& influence, const float* panels,
            int32_t n_items, int32_t no_components, const int32_t* user_ids, int32_t n,
            const int64_t* test_indptr, const int32_t* test_indices,
            const int64_t* train_indptr, const int32_t* train_indices,
            float* scratch, float* targets, int32_t* ranks, uint8_t* in_train
        ) noexcept nogil
        void (*top_items)(
            const Representations& users, const Influence& influence, int32_t n,
            const Representations& items,
            const float* panels, int32_t n_items, int32_t no_components, const int64_t* begins,
            const int64_t* ends, const int32_t* excluded, int32_t k, float* scratch,
            int32_t* ids, float* scores
        ) noexcept nogil
        void (*code_items)(
            const float* vectors, int32_t n_items, int32_t no_components, int32_t n_coded,
            char* panels, double* limits
        ) noexcept nogil
        void (*top_items_by_codes)(
            const Representations& users, int32_t n, const Representations& items,
            const char* panels, const double* limits, int32_t n_items, int32_t no_components,
            int32_t n_coded, const int64_t* begins, const int64_t* ends, const int32_t* excluded,
            int32_t k, float* bounds, int16_t* codes, int32_t* ids, float* scores
        ) noexcept nogil
        bint (*solve_ridge)(
            const float* triangle, int64_t n, double l2, double* scratch, float* b
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
    cdef int MAX_CLASSES
    void swap_down(const int32_t* partners, int64_t n, int64_t end, int32_t* order)
    void gather[T](const T* source, const int32_t* order, int64_t n, T* out)
    void fill_alias_table(const int64_t* counts, int64_t n, double total, double* shares,
                          int32_t* stack, AliasColumn* table)
    bint are_sorted(const int64_t* indptr, const int32_t* items, int64_t first, int64_t last,
                    int64_t n_items)

cdef extern from "_kernels/keyboard.hpp" namespace "lfm" nogil:
    cdef cppclass Keyboard:
        Keyboard(bint (*is_interrupted)(void*) noexcept, void* caller, int milliseconds) except +
        bint stops(int thread)

cdef extern from "_kernels/known.hpp" namespace "lfm" nogil:
    int64_t filter_begin(const int64_t* indptr, int64_t user)
    void fill_filters(const int64_t* indptr, const int32_t* items, int64_t first, int64_t last,
                      int64_t n_items, uint64_t* filter)

cdef extern from "_kernels/known_items.hpp" namespace "lfm" nogil:
    cdef int64_t KNOWN_CHUNK

    cdef cppclass KnownItems:
        KnownItems(const uint32_t* interactions, int words, int64_t n, int64_t n_users,
                   int64_t n_items, int threads, uint64_t* pairs, int32_t* items,
                   int64_t* indptr) except +
        void list(int thread, Keyboard& keyboard)
        int64_t n_known()
        void set_bounds()
        void close_gaps(int thread, int32_t* out, Keyboard& keyboard)
    int64_t users_at_a_time(int64_t n_users, int64_t n_known)

cdef extern from "_kernels/neighbours.hpp" namespace "lfm" nogil:
    cdef struct Histories:
        const int64_t* indptr
        const int32_t* items
        const float* values
        const float* user_weights
        const int64_t* item_indptr
        const int32_t* users
        const int32_t* places
        int64_t n_items

    void count_users(const int64_t* indptr, const int32_t* items, int64_t first, int64_t last,
                     int64_t* counts)
    void list_users(const int64_t* indptr, const int32_t* items, int64_t first, int64_t last,
                    bint whole, int64_t* next, int32_t* users, int32_t* places,
                    int64_t* additions)

    cdef cppclass NearestItems:
        NearestItems(const Histories& x, const float* scales, int64_t k, int threads) except +
        void find(int thread, int32_t item, int32_t* neighbours, float* similarities)

    bint are_neighbours(const int32_t* neighbours, int64_t k, int64_t first, int64_t last,
                        int64_t n_items, int64_t* counts)

    cdef cppclass RidgeSystems:
        RidgeSystems(const Histories& x, const int32_t* neighbours, int64_t k,
                     const int64_t* counts, const int64_t* begins, int threads) except +
        void turn_to(int64_t first, int64_t last, float* triangles) except +
        bint needs(int64_t item)
        void copy_row(int thread, int32_t item, float* weights)

cdef extern from "_kernels/packing.hpp" namespace "lfm" nogil:
    cdef struct Columns:
        const int32_t* rows
        const int32_t* cols
        const uint8_t* positive
        const float* further[2]

    cdef struct PackedRows:
        float* rows
        float* biases
        int parts
        int64_t lanes
        int64_t bias_stride
        int64_t no_components

    cdef struct PublicArrays:
        float* embeddings[3]
        float* biases[3]

    void pack_interactions(const Columns& columns, int64_t first, int64_t last, int words,
                           uint32_t* out)
    void add_item_counts(const uint32_t* interactions, int words, int64_t first, int64_t last,
                         int64_t* counts)
    ctypedef void (*Conversion)(const PackedRows& packed, int64_t first, int64_t last,
                                const PublicArrays& arrays) noexcept
    void pack_rows(const PackedRows& packed, int64_t first, int64_t last,
                   const PublicArrays& arrays)
    void unpack_rows(const PackedRows& packed, int64_t first, int64_t last,
                     const PublicArrays& arrays)
    void exchange_rows(const PackedRows& packed, int64_t first, int64_t last,
                       const PublicArrays& arrays)
    bint are_finite(const PackedRows& packed, int64_t first, int64_t last)
    int64_t cut_tile(const Sparse& rows, int64_t n_rows, int64_t first, int64_t* at,
                     int32_t* indptr, uint16_t* places, float* values)

cdef extern from "_kernels/features.hpp" namespace "lfm" nogil:
    cdef enum Fault:
        NO_FAULT
        BAD_ROW
        BAD_PLACE
        BAD_COLUMN
        NOT_FINITE

    cdef struct Array:
        const void* data
        int64_t size
        bint wide

    cdef struct StoredFeatures:
        Array indptr
        Array indices
        Array data

    cdef struct Finding:
        Fault fault
        int64_t at
        int64_t begin
        int64_t end

    Finding sum_stored_features "lfm::sum_features"(
        const StoredFeatures& features, const int32_t* rows, int64_t n, const float* biases,
        const float* embeddings, int64_t n_features, int64_t no_components, float* bias_sums,
        float* sums
    )

cdef extern from "_kernels/pieces.hpp" namespace "lfm" nogil:
    cdef cppclass Pieces:
        Pieces(int64_t n, int threads) except +
        int64_t first(int thread)
        int64_t next(int64_t done)

cdef extern from "_kernels/epoch.hpp" namespace "lfm" nogil:
    cdef struct Block:
        int64_t position
        int64_t end

    cdef cppclass Epoch:
        Epoch(const uint32_t* interactions, int words, int64_t n, uint64_t seed, int threads,
              int64_t window, int n_classes, const uint8_t* classes, uint32_t* order) except +
        void offer(int64_t begin, int64_t end)
        void enter(int thread)
        bint take(int thread, Block* block)
        void stop()
        bint is_stopped()
        void go_on()

cdef extern from "_kernels/ids.hpp" namespace "lfm":
    cdef cppclass IdTable:
        IdTable(bint empty) except +
    Py_ssize_t number_list(IdTable& table, dict mapping, bint add, list ids,
                           int32_t* out) except -1
    int number_rows(IdTable& users, dict user_mapping, IdTable& items, dict item_mapping, list rows,
                    int32_t* row, int32_t* col, double* weights) except -1


# What follows in the C++ file is Cython's own code. It calls the kernels, is no faster at -O3, and
# would be half as large again. Without the three passes it is smaller still: on the way to a
# function's handler of errors they copy code, and they mix what would compress well.
cdef extern from *:
    """
    #if defined(__GNUC__) && !defined(__clang__)
    #if __GNUC__ >= 12
    #pragma GCC optimize("Oz")
    #else
    #pragma GCC optimize("Os")
    #endif
    #pragma GCC optimize("no-tree-dominator-opts", "no-thread-jumps", "no-schedule-insns2")
    #endif
    """
