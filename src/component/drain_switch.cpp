#include "component/drain_switch.hpp"

#include <chrono>
#include <source_location>

#include <fmt/format.h>

#include "stator/base/sink.hpp"
#include "stator/runtime/timer.hpp"

namespace stator::inline component {

using namespace std::chrono_literals;

namespace {

// What a change may wait for the store.
constexpr Duration store_limit = 10s;

Error ending(const Served& served) {
    return Error{
        ErrorCode::draining,
        "component.ending",
        fmt::format("{} of {} is ending", served.instance().to_string(), served.id().to_string())
    };
}

void say(
    const Served& served,
    std::string_view what,
    std::source_location where = std::source_location::current()
) {
    sink().report(
        Severity::info,
        "stator::component",
        fmt::format(
            "{} {} is {} by an operator",
            served.id().to_string(),
            served.instance().to_string(),
            what
        ),
        where
    );
}

}  // namespace

void DrainSwitch::check_not_ended() const {
    const std::lock_guard guard{gate_};
    if (ended_) throw ending(served_);
}

bool DrainSwitch::set_refusing(bool refusing) noexcept {
    const std::lock_guard guard{gate_};
    if (ended_) return false;
    if (refusing) {
        served_.refuse_new();
    } else {
        served_.accept_again();
    }
    return true;
}

void DrainSwitch::end() noexcept {
    const std::lock_guard guard{gate_};
    ended_ = true;
    served_.refuse_new();
}

// Not given up half way because the operator has gone.
Task<> DrainSwitch::drain() { co_await shielded(drain_in_turn()); }
Task<> DrainSwitch::resume() { co_await shielded(resume_in_turn()); }

Task<> DrainSwitch::drain_in_turn() {
    const auto permit = co_await changing_.acquire();
    check_not_ended();
    if (publication_.drained() && served_.refusing()) co_return;
    served_.set_off_line(true);
    // First the record: while it is there, whoever comes is served.
    const auto hidden =
        co_await as_result(with_deadline(Deadline::in(store_limit), publication_.drain()));
    if (!hidden && !publication_.drained()) {
        served_.set_off_line(false);
        throw hidden.error();
    }
    auto* const server = cluster_.running_server();
    // The frame speaks of the whole instance: not while other endpoints of it go on.
    if (!cluster_.serves_others(served_)) server->drain(served_.instance(), "drained");
    // Clients of Dynamo's plane learn it from the record only, and try no refused request again.
    if (server->dynamo_connections() > 0) co_await sleep_for(cluster_.config().settle);
    if (!set_refusing(true)) throw ending(served_);
    say(served_, "taken off line");
}

Task<> DrainSwitch::resume_in_turn() {
    const auto permit = co_await changing_.acquire();
    check_not_ended();
    if (!publication_.drained()) co_return;
    // First the requests: whoever finds the record is served.
    if (!set_refusing(false)) throw ending(served_);
    const auto found =
        co_await as_result(with_deadline(Deadline::in(store_limit), publication_.resume()));
    if (!found) {
        (void)set_refusing(true);
        throw found.error();
    }
    served_.set_off_line(false);
    say(served_, "put on line");
}

}  // namespace stator::inline component
