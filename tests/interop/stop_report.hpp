// Says how the end of a request was asked for.
#pragma once

#include <utility>

#include "stator/pipeline/context.hpp"
#include "stator/runtime/task.hpp"
#include "tests/interop/peer_report.hpp"

namespace stator::interop {

/// Reports once how the caller asked for the end: as soon as the handler knows, or when it is gone.
class StopReport {
public:
    explicit StopReport(Context context) : context_{std::move(context)} {}
    StopReport(const StopReport&) = delete;
    StopReport& operator=(const StopReport&) = delete;
    ~StopReport() { look(); }

    bool look() {
        if (!context_.stopped()) return false;
        if (!std::exchange(reported_, true)) {
            const auto* how = context_.killed() ? "kill" : "stop";
            say("stopped", {{"id", context_.id().to_string()}, {"how", how}});
        }
        return true;
    }

private:
    Context context_;
    bool reported_ = false;
};

}  // namespace stator::interop
