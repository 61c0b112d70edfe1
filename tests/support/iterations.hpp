// How often the long tests repeat themselves.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdlib>

namespace stator::test {

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
inline constexpr std::size_t sanitizer_divisor = 20;
#elif __has_feature(address_sanitizer)
inline constexpr std::size_t sanitizer_divisor = 20;
#else
inline constexpr std::size_t sanitizer_divisor = 1;
#endif
#endif

/// Whether the process's memory is the program's: a sanitizer keeps what was freed, and shadows of
/// it.
inline constexpr bool own_memory = sanitizer_divisor == 1;

/// Whether this is the long run: tests with the label `soak` set STATOR_SOAK=1.
inline bool soaking() {
    const char* value = std::getenv("STATOR_SOAK");
    return value != nullptr && *value == '1';
}

/// `full`, or a part of it where a sanitizer makes that take long and this is not the long run.
inline std::size_t iterations(std::size_t full) {
    return soaking() ? full : full / sanitizer_divisor;
}

/// Ends what needs a switch between threads in every round before a loaded machine makes it long.
class Budget {
public:
    explicit Budget(std::size_t rounds, std::chrono::seconds time = std::chrono::seconds{3})
        : rounds_{rounds}, until_{std::chrono::steady_clock::now() + time} {}
    bool allows(std::size_t round) const {
        if (round >= rounds_) return false;
        if (soaking() || round % 64 != 0) return true;
        return std::chrono::steady_clock::now() < until_;
    }

private:
    std::size_t rounds_;
    std::chrono::steady_clock::time_point until_;
};

}  // namespace stator::test
