// How long the tests of the runtime wait.
#pragma once

#include <chrono>
#include <cstdlib>

namespace stator::test {

/// How long to wait for what must happen at once. The proof with planted bugs sets it lower.
inline std::chrono::seconds patience() {
    const char* given = std::getenv("STATOR_TEST_PATIENCE");
    return std::chrono::seconds{given != nullptr ? std::atoi(given) : 60};
}

}  // namespace stator::test
