#include "component/canary_state.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

namespace stator::inline component {

namespace {

std::string seconds(Duration time) {
    return fmt::format("{:g} s", std::chrono::duration<double>(time).count());
}

}  // namespace

CanaryState::CanaryState(Config config, TimePoint now) noexcept
    : config_{config}, last_progress_{now}, next_probe_{now} {}

void CanaryState::healthy() {
    verdict_ = Verdict::healthy;
    reason_.clear();
}

void CanaryState::unhealthy(std::string reason) {
    verdict_ = Verdict::unhealthy;
    reason_ = std::move(reason);
}

CanaryState::Step CanaryState::look(TimePoint now, Traffic traffic) {
    const bool progressed = std::exchange(progress_, traffic.progress) != traffic.progress;
    const bool began = !busy_ && traffic.inflight > 0;
    const bool ended = busy_ && traffic.inflight == 0;
    busy_ = traffic.inflight > 0;
    if (progressed || began) last_progress_ = now;
    if (progressed || ended || busy_) next_probe_ = now + config_.idle_wait;
    // A probe that does not end is known to be stuck, whatever else goes on.
    if (progressed && !overdue_) healthy();
    if (probing_) return look_at_probe(now);
    if (busy_) return look_at_requests(now, traffic.inflight);
    if (now < next_probe_) return {.action = Action::none, .next = next_probe_};
    probing_ = true;
    overdue_ = false;
    items_ = 0;
    probe_begun_ = last_item_ = now;
    return {
        .action = Action::begin_probe,
        .next = now + std::min(config_.timeout, config_.stream_timeout),
    };
}

CanaryState::Step CanaryState::look_at_probe(TimePoint now) {
    const auto until =
        std::min(last_item_ + config_.timeout, probe_begun_ + config_.stream_timeout);
    if (now < until) return {.action = Action::none, .next = until};
    if (!overdue_) {
        overdue_ = true;
        if (items_ == 0) {
            unhealthy(fmt::format("a probe had no answer within {}", seconds(config_.timeout)));
        } else if (now >= probe_begun_ + config_.stream_timeout) {
            unhealthy(fmt::format("a probe did not end within {}", seconds(config_.stream_timeout))
            );
        } else {
            unhealthy(fmt::format(
                "a probe stalled after {} items for {}", items_, seconds(config_.timeout)
            ));
        }
        return {.action = Action::end_probe, .next = now + config_.timeout};
    }
    return {.action = Action::none, .next = now + config_.timeout};
}

CanaryState::Step CanaryState::look_at_requests(TimePoint now, std::size_t inflight) {
    const auto until = last_progress_ + config_.busy_stall;
    if (now < until) return {.action = Action::none, .next = until};
    unhealthy(
        fmt::format("{} requests without progress for {}", inflight, seconds(config_.busy_stall))
    );
    return {.action = Action::none, .next = now + config_.busy_stall};
}

void CanaryState::probe_item(TimePoint now) noexcept {
    if (!probing_) return;
    ++items_;
    last_item_ = now;
}

void CanaryState::probe_ended(TimePoint now, std::optional<std::string> failure) {
    if (!std::exchange(probing_, false)) return;
    next_probe_ = now + config_.idle_wait;
    if (std::exchange(overdue_, false)) return;  // the verdict is there already
    if (failure) {
        unhealthy(fmt::format("a probe failed: {}", *failure));
    } else if (items_ == 0) {
        unhealthy("a probe was answered by nothing");
    } else {
        healthy();
    }
}

}  // namespace stator::inline component
