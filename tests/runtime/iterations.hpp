// How often the long tests repeat themselves.
#pragma once

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

/// Whether this is the long run: tests with the label `soak` set STATOR_SOAK=1.
inline bool soaking() {
    const char* value = std::getenv("STATOR_SOAK");
    return value != nullptr && *value == '1';
}

/// `full`, or a part of it where a sanitizer makes that take long and this is not the long run.
inline std::size_t iterations(std::size_t full) {
    return soaking() ? full : full / sanitizer_divisor;
}

}  // namespace stator::test
