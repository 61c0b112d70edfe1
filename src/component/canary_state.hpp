// Decides about an endpoint from its traffic and its probes; starts probes and ends them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "stator/base/clock.hpp"

namespace stator::inline component {

/// What is seen of an endpoint's requests.
struct Traffic {
    std::size_t inflight = 0;
    /// Grows with every item that a request sends and with every request that ends well.
    std::uint64_t progress = 0;
};

/// A pure state machine: told the time, the traffic and what its probe does, it says what is to be
/// done and how the endpoint is. Nothing else decides whether an endpoint with a probe is healthy.
///
/// An endpoint that is idle is probed: the first item within `timeout`, each further one within
/// `timeout` of the one before, all of them within `stream_timeout`. One that is busy is not probed
/// but must make progress within `busy_stall`. There is one probe at a time: while one does not end
/// although its time is up, the endpoint is unhealthy, however often that is looked at.
class CanaryState {
public:
    struct Config {
        Duration idle_wait{};       ///< without traffic, until the next probe
        Duration timeout{};         ///< of a probe, for its next item
        Duration stream_timeout{};  ///< of a probe, until its end
        Duration busy_stall{};      ///< with requests, without progress
    };
    enum class Verdict : std::uint8_t { pending, healthy, unhealthy };
    enum class Action : std::uint8_t { none, begin_probe, end_probe };
    struct Step {
        Action action = Action::none;
        TimePoint next;  ///< when to look again, if nothing happens before
    };

    CanaryState(Config config, TimePoint now) noexcept;

    /// Looks. `begin_probe` counts as done, `end_probe` asks for the end of the probe that runs,
    /// which is reported as usual.
    Step look(TimePoint now, Traffic traffic);
    /// The probe that runs has sent an item.
    void probe_item(TimePoint now) noexcept;
    /// The probe has ended: well, if there is no `failure`.
    void probe_ended(TimePoint now, std::optional<std::string> failure);

    Verdict verdict() const noexcept { return verdict_; }
    /// Why it is unhealthy or pending.
    const std::string& reason() const noexcept { return reason_; }
    bool probing() const noexcept { return probing_; }

private:
    Step look_at_probe(TimePoint now);
    Step look_at_requests(TimePoint now, std::size_t inflight);
    void healthy();
    void unhealthy(std::string reason);

    Config config_;
    Verdict verdict_ = Verdict::pending;
    std::string reason_ = "not probed yet";
    std::uint64_t progress_ = 0;
    bool busy_ = false;
    TimePoint last_progress_;  // or when the requests began
    TimePoint next_probe_;     // while idle
    bool probing_ = false;
    bool overdue_ = false;  // the probe's time is up
    std::size_t items_ = 0;
    TimePoint probe_begun_;
    TimePoint last_item_;
};

}  // namespace stator::inline component
