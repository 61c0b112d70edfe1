#include "discovery/reject_log.hpp"

#include <functional>

#include <fmt/format.h>

#include "stator/base/sink.hpp"
#include "stator/base/text.hpp"

namespace stator::discovery {

namespace {

constexpr std::size_t remembered = 4096;

}  // namespace

void RejectLog::report(std::string_view key, std::string_view record, const Error& why) {
    const std::hash<std::string_view> hash;
    const auto mark = hash(key) * 31 + hash(record);
    {
        const std::lock_guard guard{lock_};
        if (known_.size() >= remembered) known_.clear();
        if (!known_.insert(mark).second) return;
    }
    sink().count("discovery_rejected_records_total", 1);
    sink().report(
        Severity::warn,
        "stator::discovery",
        fmt::format("ignoring the record {}: {}", quoted_text(key, 256), why.what())
    );
}

}  // namespace stator::discovery
