// The sorted distinct items of each user, as threads find them.
//
// In three passes, each in pieces that any thread may take: interactions are counted by ranges of
// users; thrown into blocks, ranges of users who have some ten thousand interactions together; and
// each block, small enough for the cache, is sorted by user and then by item. The order within a
// block is left to chance, the lists are not. Compiled once, at the baseline level.
#pragma once

#if defined(_MSC_VER)
#include <intrin.h>
#endif

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "interface.hpp"
#include "keyboard.hpp"
#include "known.hpp"
#include "pieces.hpp"

namespace lfm {

// The place of the lowest bit of a word that has one.
inline int lowest_bit(uint64_t bits) {
#if defined(_MSC_VER) && defined(_WIN64)
    unsigned long at;
    _BitScanForward64(&at, bits);
    return static_cast<int>(at);
#elif defined(_MSC_VER)
    unsigned long at;
    if (_BitScanForward(&at, static_cast<unsigned long>(bits))) return static_cast<int>(at);
    _BitScanForward(&at, static_cast<unsigned long>(bits >> 32));
    return static_cast<int>(at) + 32;
#else
    return __builtin_ctzll(bits);
#endif
}

// Sorts lists of items by a bit for each item, and one for each word of these bits.
class ItemSorter {
  public:
    explicit ItemSorter(int64_t n_items)
        : words((n_items + 63) / 64), summary((words.size() + 63) / 64) {}

    // Writes the distinct ones of items[0 .. n), sorted, to `out`, which lies at `items` or before.
    // Returns how many there are. The items lose their order.
    int64_t sort_distinct(int32_t* items, int64_t n, int32_t* out) {
        // Where the words of the summary are many for so few items.
        if (n <= FEW || static_cast<int64_t>(summary.size()) > 16 * n) {
            std::sort(items, items + n);
            n = std::unique(items, items + n) - items;
            if (out != items) std::copy_n(items, n, out);
            return n;
        }
        for (int64_t i = 0; i < n; ++i) {
            const uint32_t item = static_cast<uint32_t>(items[i]);
            words[item / 64] |= uint64_t{1} << (item & 63);
            summary[item / 4096] |= uint64_t{1} << (item / 64 & 63);
        }
        int32_t* const begin = out;
        for (size_t s = 0; s < summary.size(); ++s) {
            for (uint64_t filled = summary[s]; filled; filled &= filled - 1) {
                const size_t w = s * 64 + lowest_bit(filled);
                for (uint64_t bits = words[w]; bits; bits &= bits - 1)
                    *out++ = static_cast<int32_t>(w * 64 + lowest_bit(bits));
                words[w] = 0;
            }
            summary[s] = 0;
        }
        return out - begin;
    }

  private:
    static constexpr int64_t FEW = 16;

    std::vector<uint64_t> words, summary;
};

// Interactions that a thread counts or throws at a time.
constexpr int64_t KNOWN_CHUNK = 65536;

class KnownItems {
  public:
    // Of n interactions of `words` words. `pairs` and `items` are room for n numbers, and indptr for
    // n_users + 1; none of it is read before it is written.
    KnownItems(const uint32_t* interactions, int words, int64_t n, int64_t n_users, int64_t n_items,
               int threads, uint64_t* pairs, int32_t* items, int64_t* indptr)
        : interactions(interactions), words(words), n(n), n_users(n_users), pairs(pairs),
          items(items), indptr(indptr), shift(range_bits(n, n_users)),
          n_ranges((n_users + (int64_t{1} << shift) - 1) >> shift),
          most_blocks((n + n_users) / BLOCK_SIZE + 1), counts(threads * n_ranges),
          block_of_range(n_ranges), next(new std::atomic<int64_t>[most_blocks]),
          places(threads * most_blocks), sorters(threads, ItemSorter(n_items)),
          counting(n_chunks(), threads), placing(1, threads), throwing(n_chunks(), threads),
          sorting(most_blocks, threads), closing(most_blocks, threads) {
        blocks.reserve(most_blocks);  // nothing that runs in a thread asks for memory
    }

    // Lists the items of each user, with gaps where repeats were dropped. Every thread calls it.
    void list(int thread, Keyboard& keyboard) {
        const auto stops = [&] { return keyboard.stops(thread); };
        for (int64_t c = counting.first(thread); c >= 0; c = counting.next(c))
            if (!stops()) count(c, counts.data() + thread * n_ranges);
        for (int64_t p = placing.next(-1); p >= 0; p = placing.next(p))
            if (!stops()) make_blocks();
        for (int64_t c = throwing.next(-1); c >= 0; c = throwing.next(c))
            if (!stops()) throw_pairs(c, places.data() + thread * most_blocks);
        for (int64_t b = sorting.next(-1); b >= 0; b = sorting.next(b))
            if (!stops() && b < n_blocks()) sort(blocks[b], sorters[thread]);
    }

    // How many items are listed, all users together.
    int64_t n_known() const {
        int64_t sum = 0;
        for (const Block& block : blocks) sum += block.n_known;
        return sum;
    }

    // Writes the lists without the gaps to `out`, which may be `items` where there are none, and
    // where they begin to indptr. Every thread calls it, after one has called set_bounds().
    void close_gaps(int thread, int32_t* out, Keyboard& keyboard) {
        for (int64_t b = closing.first(thread); b >= 0; b = closing.next(b))
            if (!keyboard.stops(thread) && b < n_blocks()) close(blocks[b], out);
    }

    // Writes to indptr where the lists of each block begin, after list().
    void set_bounds() {
        int64_t at = 0;
        indptr[0] = 0;
        for (const Block& block : blocks) indptr[block.last_user] = at += block.n_known;
    }

  private:
    // Users and interactions of a block together; what these take fits into a core's cache.
    static constexpr int64_t BLOCK_SIZE = 32768;
    static constexpr int64_t MAX_RANGES = 16384;

    // Users [first_user, last_user), whose pairs are [begin, end).
    struct Block {
        int64_t first_user, last_user, begin, end, n_known;
    };

    const uint32_t* const interactions;
    const int words;
    const int64_t n, n_users;
    uint64_t* const pairs;  // user and item, block by block
    int32_t* const items;
    int64_t* const indptr;
    const int shift;  // a range is 2^shift users
    const int64_t n_ranges;
    const int64_t most_blocks;
    std::vector<int64_t> counts;  // interactions of each range, a table for each thread
    std::vector<int32_t> block_of_range;
    std::vector<Block> blocks;
    std::unique_ptr<std::atomic<int64_t>[]> next;  // of each block, where the next pair goes
    std::vector<int64_t> places;                   // of each block, a table for each thread
    std::vector<ItemSorter> sorters;
    Pieces counting, placing, throwing, sorting, closing;

    static int range_bits(int64_t n, int64_t n_users) {
        const int64_t most = std::min(MAX_RANGES, n / 64 + 1);
        int bits = 0;
        while ((n_users - 1) >> bits >= most) ++bits;
        return bits;
    }

    int64_t n_chunks() const { return (n + KNOWN_CHUNK - 1) / KNOWN_CHUNK; }
    int64_t n_blocks() const { return static_cast<int64_t>(blocks.size()); }

    // Calls use(user, item) with each interaction of a chunk.
    template <class Use>
    void each_of(int64_t chunk, Use use) const {
        const int64_t end = std::min(n, (chunk + 1) * KNOWN_CHUNK);
        const uint32_t* at = interactions + chunk * KNOWN_CHUNK * words;
        for (int64_t i = chunk * KNOWN_CHUNK; i < end; ++i, at += words)
            use(at[0] & ~NOT_POSITIVE, at[1]);
    }

    void count(int64_t chunk, int64_t* of_range) const {
        each_of(chunk, [=](uint32_t user, uint32_t) { ++of_range[user >> shift]; });
    }

    // Ranges, one after the other, become a block when they are enough.
    void make_blocks() {
        Block block = {0, 0, 0, 0, 0};
        for (int64_t r = 0; r < n_ranges; ++r) {
            for (size_t at = r; at < counts.size(); at += n_ranges) block.end += counts[at];
            block.last_user = std::min(n_users, (r + 1) << shift);
            block_of_range[r] = static_cast<int32_t>(n_blocks());
            if (block.end - block.begin + block.last_user - block.first_user < BLOCK_SIZE &&
                r + 1 < n_ranges)
                continue;
            next[n_blocks()].store(block.begin);
            blocks.push_back(block);
            block = {block.last_user, block.last_user, block.end, block.end, 0};
        }
    }

    // Copies the pairs of a chunk to their blocks. `place` is a table of this thread.
    void throw_pairs(int64_t chunk, int64_t* place) {
        std::fill_n(place, n_blocks(), 0);
        each_of(chunk, [=](uint32_t user, uint32_t) { ++place[block_of_range[user >> shift]]; });
        for (int64_t b = 0; b < n_blocks(); ++b)
            if (place[b]) place[b] = next[b].fetch_add(place[b], std::memory_order_relaxed);
        each_of(chunk, [=](uint32_t user, uint32_t item) {
            pairs[place[block_of_range[user >> shift]]++] = uint64_t{user} << 32 | item;
        });
    }

    // Lists the items of a block's users from block.begin on, and leaves how many a user has at
    // indptr[user + 1].
    void sort(Block& block, ItemSorter& sorter) {
        const int64_t n_here = block.last_user - block.first_user;
        int64_t* const of_user = indptr + block.first_user + 1;
        std::fill_n(of_user, n_here, 0);
        for (int64_t i = block.begin; i < block.end; ++i)
            ++of_user[(pairs[i] >> 32) - block.first_user];
        int64_t at = block.begin;
        for (int64_t u = 0; u < n_here; ++u) {
            const int64_t size = of_user[u];
            of_user[u] = at;
            at += size;
        }
        for (int64_t i = block.begin; i < block.end; ++i)
            items[of_user[(pairs[i] >> 32) - block.first_user]++] = static_cast<int32_t>(pairs[i]);
        // Each of_user is now where the user's items end.
        int64_t begin = block.begin;
        int32_t* out = items + begin;
        for (int64_t u = 0; u < n_here; ++u) {
            const int64_t end = of_user[u];
            of_user[u] = sorter.sort_distinct(items + begin, end - begin, out);
            out += of_user[u];
            begin = end;
        }
        block.n_known = out - (items + block.begin);
    }

    void close(const Block& block, int32_t* out) const {
        const int64_t begin = indptr[block.first_user];
        if (out != items) std::copy_n(items + block.begin, block.n_known, out + begin);
        // indptr of the last user's end is there, and that of the first user's begin.
        int64_t at = begin;
        for (int64_t user = block.first_user; user + 1 < block.last_user; ++user)
            indptr[user + 1] = at += indptr[user + 1];
    }
};

// Users whose filters a thread fills at a time: so many that they and their items are some 32768.
inline int64_t users_at_a_time(int64_t n_users, int64_t n_known) {
    return std::max<int64_t>(1, 32768 * n_users / (n_users + n_known + 1));
}

}  // namespace lfm
