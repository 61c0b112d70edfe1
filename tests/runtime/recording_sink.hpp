// A sink that keeps what it is told.
#pragma once

#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "stator/base/sink.hpp"

namespace stator::test {

/// The process's sink while it lives. Thread-safe.
class RecordingSink : public Sink {
public:
    RecordingSink() { set_sink(this); }
    ~RecordingSink() override { set_sink(nullptr); }
    RecordingSink(const RecordingSink&) = delete;
    RecordingSink& operator=(const RecordingSink&) = delete;

    void report(
        Severity, std::string_view, std::string_view message, std::source_location
    ) noexcept override {
        const std::lock_guard guard{lock_};
        reports_.emplace_back(message);
    }
    void count(std::string_view name, std::uint64_t by) noexcept override {
        const std::lock_guard guard{lock_};
        counts_[std::string{name}] += by;
    }
    void gauge(std::string_view name, double value) noexcept override {
        const std::lock_guard guard{lock_};
        gauges_[std::string{name}] = value;
    }
    std::vector<std::string> reports() const {
        const std::lock_guard guard{lock_};
        return reports_;
    }
    std::uint64_t counted(const std::string& name) const {
        const std::lock_guard guard{lock_};
        const auto found = counts_.find(name);
        return found == counts_.end() ? 0 : found->second;
    }
    double gauge_of(const std::string& name) const {
        const std::lock_guard guard{lock_};
        const auto found = gauges_.find(name);
        return found == gauges_.end() ? 0 : found->second;
    }

private:
    mutable std::mutex lock_;
    std::vector<std::string> reports_;
    std::map<std::string, std::uint64_t> counts_;
    std::map<std::string, double> gauges_;
};

}  // namespace stator::test
