// StatsSource: what the application tells of an endpoint, whatever its function does.
#pragma once

#include <memory>
#include <mutex>
#include <string>

#include "stator/component/endpoint.hpp"
#include "stator/runtime/event.hpp"
#include "stator/runtime/offload.hpp"

namespace stator::inline component {

/// Calls the function on a thread of the pool, where it may block, one call at a time: whoever asks
/// while it runs waits for that call. Shared; thread-safe. Owned by the endpoint, which calls
/// `end`; the pool outlives what was begun, as pools do.
class StatsSource : public std::enable_shared_from_this<StatsSource> {
public:
    StatsSource(StatsHandler handler, std::string endpoint, BlockingPool& pool);

    /// JSON: what the function returns, or {"error": why there is nothing}. Ends soon in any case:
    /// a call that takes longer goes on, and this says so. Empty after `end`. Cancel safety: throws
    /// `cancelled`.
    Task<std::string> ask();
    /// The function is not called any more, and does not run when this returns before `deadline`.
    /// Never throws, but when it is cancelled.
    Task<> end(Deadline deadline);

private:
    struct Call {
        bool begun = false;  // under lock_
        std::string text{};  // before `done`
        Event done{};
    };
    std::shared_ptr<Call> call();
    void run(Call& call);
    std::string told() const;

    const StatsHandler handler_;
    const std::string endpoint_;
    BlockingPool& pool_;
    std::mutex lock_;
    std::shared_ptr<Call> call_;  // that waits or runs
    bool ended_ = false;
};

}  // namespace stator::inline component
