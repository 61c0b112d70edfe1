// Reading records that others wrote.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <unordered_set>

#include "stator/discovery/instance.hpp"
#include "stator/store/entry.hpp"

namespace stator::discovery {

/// Remembers which records it could not read, so that each is reported once. Thread-safe.
class RecordReader {
public:
    /// Null for a record that cannot be read.
    std::shared_ptr<const Instance> read(const store::Entry& entry);

private:
    void report(const store::Entry& entry, const Error& error);
    std::mutex lock_;
    std::unordered_set<std::size_t> reported_;  // hashes; forgotten when there are too many
};

}  // namespace stator::discovery
