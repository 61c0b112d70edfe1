// Runs something on a thread with little stack, so that recursion shows.
#pragma once

#include <limits.h>
#include <pthread.h>

#include <functional>
#include <stdexcept>

namespace stator::test {

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
inline constexpr std::size_t small_stack_bytes = 1024 * 1024;  // sanitizers need some of their own
#else
inline constexpr std::size_t small_stack_bytes = 256 * 1024;
#endif
#endif

inline void on_small_stack(std::function<void()> work) {
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, small_stack_bytes);
    pthread_t thread;
    auto run = [](void* argument) -> void* {
        (*static_cast<std::function<void()>*>(argument))();
        return nullptr;
    };
    const int code = pthread_create(&thread, &attributes, run, &work);
    pthread_attr_destroy(&attributes);
    if (code != 0) throw std::runtime_error{"no thread"};
    pthread_join(thread, nullptr);
}

}  // namespace stator::test
