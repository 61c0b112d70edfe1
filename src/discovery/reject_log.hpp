// Says once about each record that cannot be used.
#pragma once

#include <cstddef>
#include <mutex>
#include <string_view>
#include <unordered_set>

#include "stator/base/error.hpp"

namespace stator::discovery {

/// Shared by everything of one Discovery that reads records, so that one bad record is one warning
/// however many watches see it how often. Remembers a bounded number; thread-safe.
class RejectLog {
public:
    /// Reports, unless this content under this key was reported before.
    void report(std::string_view key, std::string_view record, const Error& why);

private:
    std::mutex lock_;
    std::unordered_set<std::size_t> known_;
};

}  // namespace stator::discovery
