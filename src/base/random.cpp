#include "stator/base/random.hpp"

#include <pthread.h>
#include <sys/random.h>

#include <cerrno>
#include <optional>
#include <string>
#include <system_error>

#include "stator/base/error.hpp"

namespace stator::inline base {

namespace {

std::uint64_t split_mix(std::uint64_t& state) noexcept {
    state += 0x9e3779b97f4a7c15U;
    auto mixed = state;
    mixed = (mixed ^ (mixed >> 30U)) * 0xbf58476d1ce4e5b9U;
    mixed = (mixed ^ (mixed >> 27U)) * 0x94d049bb133111ebU;
    return mixed ^ (mixed >> 31U);
}

constinit thread_local std::optional<Random> thread_generator;

// The forking thread is the only one the child has; two processes must not continue one sequence.
void forget_after_fork() { thread_generator.reset(); }

bool watch_forks() { return ::pthread_atfork(nullptr, nullptr, &forget_after_fork) == 0; }

}  // namespace

std::uint64_t os_random() {
    std::uint64_t value = 0;
    while (true) {
        // Up to 256 bytes are never cut short, so only the whole or an error comes back.
        if (::getrandom(&value, sizeof value, 0) == static_cast<ssize_t>(sizeof value))
            return value;
        if (errno == EINTR) continue;
        const auto reason = std::generic_category().message(errno);
        throw Error{
            ErrorCode::internal, "random.os", "the system gives no random numbers: " + reason
        };
    }
}

Random::Random(std::uint64_t seed) noexcept {
    for (auto& word : state_) word = split_mix(seed);
}

Random Random::from_os() {
    Random random;
    for (auto& word : random.state_) word = os_random();
    random.state_[0] |= 1U;  // all zero is the one state it would never leave
    return random;
}

Random& thread_random() {
    if (!thread_generator) [[unlikely]] {
        static const bool watched = watch_forks();
        if (!watched)
            throw Error{ErrorCode::internal, "random.fork", "no memory to register a fork handler"};
        thread_generator.emplace(Random::from_os());
    }
    return *thread_generator;
}

}  // namespace stator::inline base
