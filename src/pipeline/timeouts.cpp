#include "stator/pipeline/timeouts.hpp"

#include <fmt/format.h>

#include "stator/runtime/loop.hpp"

namespace stator::inline pipeline::detail {

void Alarm::set(Deadline due, const CancellationToken& token) {
    due_ = due;
    token_ = token;
    if (due.is_never() || (waiting() && when <= due.when())) return;
    loop_.remove_timer(*this);
    when = due.when();
    loop_.add_timer(*this);
}

void Alarm::on_time(Timer& timer) noexcept {
    auto& alarm = static_cast<Alarm&>(timer);
    if (alarm.due_.is_never()) return;  // nobody waits: the next `set` arms it again
    if (!alarm.due_.passed()) {
        alarm.when = alarm.due_.when();
        alarm.loop_.add_timer(alarm);
        return;
    }
    alarm.fired_ = true;
    alarm.token_.cancel(CancelReason::deadline);
}

Due next_due(const Timeouts& limits, bool first, Deadline whole) noexcept {
    const auto silence = first ? limits.first : limits.between;
    const auto soon = silence == Duration::max() ? Deadline::never() : Deadline::in(silence);
    if (whole < soon) return {whole, "the whole answer", limits.whole};
    return {soon, first ? "the first item" : "the next item", silence};
}

Error timed_out(std::string_view what, Duration after) {
    const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(after).count();
    return Error{
        ErrorCode::deadline_exceeded,
        "pipeline.timeout",
        fmt::format("{} did not come within {} ms", what, ms)
    };
}

}  // namespace stator::inline pipeline::detail
