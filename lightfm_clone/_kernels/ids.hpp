// Numbers of ids, many at a time: a table in front of the dictionary that has the last word.
//
// A dictionary waits for memory three times a look-up: for the id's hash, for its place, and for the
// key to compare it with. Here a batch of ids takes each of these steps together, and each step asks
// for the memory of the next. Whatever is not found goes through the dictionary, and into the table.
#pragma once

#include <Python.h>

#include <algorithm>
#include <cstdint>
#include <new>
#include <vector>

#include "prefetch.hpp"

namespace lfm {

// Ids that take a step together: enough to hide the wait for memory, few enough to stay in the
// innermost cache.
constexpr int ID_BATCH = 64;

// Ids between two looks at the keyboard.
constexpr Py_ssize_t LOOK_UP = 1 << 16;

inline void prefetch_object(const PyObject* object) {
    // Objects are not aligned to cache lines, and what is read of one lies in its first 64 bytes.
    prefetch(object);
    prefetch(reinterpret_cast<const char*>(object) + 48);
}

// Only exact strings and integers go into a table: to hash and compare them runs no code but the
// interpreter's, never fails, and none of one kind equals one of the other.
inline bool is_plain(PyObject* id) {
    return Py_TYPE(id) == &PyUnicode_Type || Py_TYPE(id) == &PyLong_Type;
}

// References to the ids of a batch, so that no code that a dictionary calls can take them away.
class HeldIds {
  public:
    HeldIds() = default;
    HeldIds(const HeldIds&) = delete;
    HeldIds& operator=(const HeldIds&) = delete;
    ~HeldIds() {
        for (int k = 0; k < n_; ++k) Py_DECREF(ids_[k]);
    }
    void hold(PyObject* id) {
        Py_INCREF(id);
        ids_[n_++] = id;
    }
    int size() const { return n_; }
    PyObject* operator[](int k) const { return ids_[k]; }

  private:
    PyObject* ids_[ID_BATCH];
    int n_ = 0;
};

class IdTable {
  public:
    // For a mapping that is empty, or not.
    explicit IdTable(bool empty) : complete_(empty) {}
    IdTable(const IdTable&) = delete;
    IdTable& operator=(const IdTable&) = delete;
    ~IdTable() {
        for (const Place& place : places_) Py_XDECREF(place.key);
    }

    // The numbers of the first ids of the batch that `mapping` knows, as many as there are: fewer
    // than all when one is unknown, unless `add` makes it known. -1 after an exception.
    int numbers(const HeldIds& ids, PyObject* mapping, bool add, int32_t* out) {
        uint32_t hashes[ID_BATCH];
        for (int k = 0; k < ids.size(); ++k) {
            if (!is_plain(ids[k])) continue;
            // Fibonacci hashing (Knuth, TAOCP 6.4), as integers are their own hashes.
            const uint64_t hash = uint64_t(PyObject_Hash(ids[k])) * 0x9E3779B97F4A7C15u;
            hashes[k] = uint32_t(hash >> 32);
            prefetch(&places_[hashes[k] >> shift_]);
        }
        for (int k = 0; k < ids.size(); ++k) {
            if (is_plain(ids[k])) prefetch_object(places_[hashes[k] >> shift_].key);
        }
        for (int k = 0; k < ids.size(); ++k) {
            const bool plain = is_plain(ids[k]);
            if (plain) {
                const Place& place = places_[find(ids[k], hashes[k])];
                if (place.key) {
                    out[k] = place.number;
                    continue;
                }
            }
            int64_t number = plain && complete_ ? UNKNOWN : ask(ids[k], mapping);
            if (number == UNKNOWN) {
                if (!add) return k;
                number = append(ids[k], mapping);
                complete_ = complete_ && plain;
            }
            if (number == FAILED) return -1;
            out[k] = int32_t(number);
            if (plain && !insert(ids[k], hashes[k], out[k])) return -1;
        }
        return ids.size();
    }

  private:
    struct Place {
        PyObject* key;
        uint32_t hash;
        int32_t number;
    };
    static constexpr int64_t FAILED = -1, UNKNOWN = -2;

    std::vector<Place> places_ = std::vector<Place>(16);
    int shift_ = 32 - 4;
    std::size_t n_keys_ = 0;
    bool complete_;  // whether every key of the mapping is in the table

    static bool equal(PyObject* a, PyObject* b) {
        return a == b || (Py_TYPE(a) == Py_TYPE(b) && PyObject_RichCompareBool(a, b, Py_EQ) == 1);
    }

    // Where the id is, or where it would have to be.
    std::size_t find(PyObject* id, uint32_t hash) const {
        std::size_t at = hash >> shift_;
        while (places_[at].key && !(places_[at].hash == hash && equal(places_[at].key, id))) {
            at = (at + 1) & (places_.size() - 1);
        }
        return at;
    }

    bool insert(PyObject* id, uint32_t hash, int32_t number) {
        if (2 * ++n_keys_ > places_.size() && !grow()) return false;
        Py_INCREF(id);
        places_[find(id, hash)] = {id, hash, number};
        return true;
    }

    bool grow() {
        std::vector<Place> old;
        try {
            old.resize(2 * places_.size());
        } catch (const std::bad_alloc&) {
            PyErr_NoMemory();
            return false;
        }
        old.swap(places_);
        --shift_;
        for (const Place& place : old) {
            if (place.key) places_[find(place.key, place.hash)] = place;
        }
        return true;
    }

    static int64_t ask(PyObject* id, PyObject* mapping) {
        PyObject* known = PyDict_GetItemWithError(mapping, id);
        if (!known) return PyErr_Occurred() ? FAILED : UNKNOWN;
        const int64_t number = PyLong_AsLongLong(known);
        if (number >= 0 && number <= INT32_MAX) return number;
        return PyErr_Occurred() ? FAILED : refuse();
    }

    static int64_t refuse() {
        PyErr_SetString(PyExc_ValueError, "the numbers of ids must be from 0 to 2**31 - 1");
        return FAILED;
    }

    static int64_t append(PyObject* id, PyObject* mapping) {
        const int64_t number = PyDict_Size(mapping);
        if (number > INT32_MAX) return refuse();
        PyObject* value = PyLong_FromLongLong(number);
        if (!value) return FAILED;
        const int failed = PyDict_SetItem(mapping, id, value);
        Py_DECREF(value);
        return failed ? FAILED : number;
    }
};

// Asks for the objects of a list from `begin` on, as long as there are any.
inline void prefetch_items(PyObject* list, Py_ssize_t begin) {
    const Py_ssize_t end = std::min(begin + ID_BATCH, PyList_Size(list));
    for (Py_ssize_t k = begin; k < end; ++k) prefetch_object(PyList_GetItem(list, k));
}

// Numbers the ids of a list, until one is unknown. How many it were, -1 after an exception.
inline Py_ssize_t number_list(IdTable& table, PyObject* mapping, bool add, PyObject* list,
                              int32_t* out) {
    int32_t unused[ID_BATCH];
    const Py_ssize_t n = PyList_Size(list);
    // The list is asked again each time: objects that a dictionary compares may change it.
    for (Py_ssize_t begin = 0; begin < n; begin += ID_BATCH) {
        if (begin % LOOK_UP == 0 && PyErr_CheckSignals()) return -1;
        prefetch_items(list, begin + ID_BATCH);
        HeldIds ids;
        const Py_ssize_t end = std::min({begin + ID_BATCH, n, PyList_Size(list)});
        for (Py_ssize_t k = begin; k < end; ++k) ids.hold(PyList_GetItem(list, k));
        const int done = table.numbers(ids, mapping, add, out ? out + begin : unused);
        if (done < 0) return -1;
        if (done < ID_BATCH) return begin + done;
    }
    return n;
}

// Numbers the ids of a list of tuples (user, item) or (user, item, weight). 1 when it did, 0 when
// something is unknown or not as plain as that, -1 after an exception.
inline int number_rows(IdTable& users, PyObject* user_mapping, IdTable& items,
                       PyObject* item_mapping, PyObject* rows, int32_t* row, int32_t* col,
                       double* weights) {
    const auto row_size = [&](Py_ssize_t k) -> Py_ssize_t {
        PyObject* tuple = PyList_GetItem(rows, k);
        return Py_TYPE(tuple) == &PyTuple_Type ? PyTuple_Size(tuple) : 0;
    };
    const Py_ssize_t n = PyList_Size(rows);
    for (Py_ssize_t begin = 0; begin < n; begin += ID_BATCH) {
        prefetch_items(rows, begin + 2 * ID_BATCH);
        const Py_ssize_t n_now = PyList_Size(rows);
        const Py_ssize_t end = std::min(begin + ID_BATCH, n);
        if (n_now < end) return 0;
        for (Py_ssize_t k = end; k < std::min(end + ID_BATCH, n_now); ++k) {
            if (row_size(k) < 2) return 0;
            prefetch_object(PyTuple_GetItem(PyList_GetItem(rows, k), 0));
            prefetch_object(PyTuple_GetItem(PyList_GetItem(rows, k), 1));
        }
        HeldIds held_users, held_items;
        for (Py_ssize_t k = begin; k < end; ++k) {
            const Py_ssize_t size = row_size(k);
            if (size != 2 && size != 3) return 0;
            PyObject* tuple = PyList_GetItem(rows, k);
            PyObject* user = PyTuple_GetItem(tuple, 0);
            PyObject* item = PyTuple_GetItem(tuple, 1);
            if (!is_plain(user) || !is_plain(item)) return 0;
            held_users.hold(user);
            held_items.hold(item);
            weights[k] = 1.0;
            if (size == 2) continue;
            PyObject* weight = PyTuple_GetItem(tuple, 2);
            if (Py_TYPE(weight) != &PyFloat_Type && Py_TYPE(weight) != &PyLong_Type) return 0;
            weights[k] = PyFloat_AsDouble(weight);
            if (weights[k] == -1.0 && PyErr_Occurred()) {  // an integer too large for a float
                PyErr_Clear();
                return 0;
            }
        }
        int done = users.numbers(held_users, user_mapping, false, row + begin);
        if (done == held_users.size())
            done = items.numbers(held_items, item_mapping, false, col + begin);
        if (done < held_items.size()) return done < 0 ? -1 : 0;
    }
    return 1;
}

}  // namespace lfm
