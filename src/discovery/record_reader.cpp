#include "discovery/record_reader.hpp"

#include <fmt/format.h>

#include "stator/base/sink.hpp"
#include "stator/base/text.hpp"

namespace stator::discovery {

namespace {

constexpr std::size_t most_reported = 1024;

}  // namespace

std::shared_ptr<const Instance> RecordReader::read(const store::Entry& entry) {
    auto instance = from_record(entry.key, entry.value);
    if (instance) return std::make_shared<const Instance>(std::move(*instance));
    report(entry, instance.error());
    return nullptr;
}

void RecordReader::report(const store::Entry& entry, const Error& error) {
    const auto hash = std::hash<std::string>{}(entry.key + '\0' + entry.value);
    {
        const std::lock_guard guard{lock_};
        if (reported_.size() >= most_reported) reported_.clear();
        if (!reported_.insert(hash).second) return;
    }
    sink().count("discovery_unreadable_records_total", 1);
    sink().report(
        Severity::warn,
        "stator::discovery",
        fmt::format("the record {} is skipped: {}", quoted_text(entry.key, 256), error.what())
    );
}

}  // namespace stator::discovery
