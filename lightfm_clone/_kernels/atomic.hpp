// What threads share while they run, read and written in one piece, in no particular order.
// Not std::atomic: its inline functions could be handed from one instruction level to another.
#pragma once

namespace lfm {
namespace {

template <class T>
inline T load_relaxed(const T* place) {
#if defined(__GNUC__)
    T value;
    __atomic_load(place, &value, __ATOMIC_RELAXED);
    return value;
#else
    return *static_cast<const volatile T*>(place);
#endif
}

template <class T>
inline void store_relaxed(T* place, T value) {
#if defined(__GNUC__)
    __atomic_store(place, &value, __ATOMIC_RELAXED);
#else
    *static_cast<volatile T*>(place) = value;
#endif
}

}  // namespace
}  // namespace lfm
