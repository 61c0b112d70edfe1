// Descriptors of this process.
#pragma once

#include <filesystem>
#include <iterator>

namespace stator::test {

/// How many are open. Counting opens one, too: compare it with itself only.
inline std::size_t open_descriptors() {
    const std::filesystem::directory_iterator all{"/proc/self/fd"};
    return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

}  // namespace stator::test
