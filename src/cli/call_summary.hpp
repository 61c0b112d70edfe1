// What became of many requests.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "stator/base/clock.hpp"
#include "stator/base/error.hpp"
#include "stator/base/instance_id.hpp"

namespace stator::cli {

/// Of one caller; merged at the end. A plain value: one owner at a time.
class CallTally {
public:
    /// One request that began and has ended. `worker`: who accepted it, if anybody did; `error`:
    /// none if it succeeded.
    void add(
        Duration latency, std::uint64_t items, InstanceId worker, const std::optional<Error>& error
    );
    void merge(const CallTally& other);

    std::uint64_t requests() const noexcept { return requests_; }
    /// Of the failure that was first in time; nothing if all succeeded.
    const std::optional<Error>& first_failure() const noexcept { return first_failure_; }

    /// Lines for people, each with its end. `elapsed`: of the whole run.
    std::string summary(Duration elapsed) const;

private:
    std::uint64_t requests_ = 0;
    std::uint64_t items_ = 0;
    std::map<ErrorCode, std::uint64_t> errors_;
    std::map<InstanceId, std::uint64_t> workers_;  // who accepted how many
    std::vector<Duration> latencies_;              // of those that succeeded
    std::optional<Error> first_failure_;
    TimePoint first_failure_at_{};
};

/// The smallest value that at least the share `quantile` (0 to 1) of them does not exceed.
/// `sorted` must not be empty.
Duration percentile(const std::vector<Duration>& sorted, double quantile);

/// Three digits and a unit: "812 ns", "1.23 ms", "45.6 s".
std::string to_text(Duration duration);

}  // namespace stator::cli
