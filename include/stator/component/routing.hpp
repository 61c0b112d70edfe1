// How a router chooses among the instances that may be given a request.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "stator/discovery/instance.hpp"
#include "stator/pipeline/context.hpp"

namespace stator::inline component {

enum class RouterMode : std::uint8_t {
    round_robin,   ///< one after the other
    random,        ///< any
    direct,        ///< the one that the call names (CallOptions::instance)
    power_of_two,  ///< of two random ones, the one with fewer calls of this process
    least_loaded,  ///< one with the fewest calls of this process
    /// Of two random ones, the one whose latest latencies, times its calls, are less: a slow
    /// instance gets few calls.
    peak_ewma,
    /// One with the fewest calls, of the accelerators or of the CPUs: a CPU gets a call when that
    /// leaves it with fewer per instance than accelerators have, by RouterOptions::device_weight.
    device_aware,
    session,  ///< calls of one session go to one instance as long as it can be asked
    custom,   ///< what RouterOptions::policy says
};

/// "round_robin", "random", "direct", "p2c", "least_loaded", "peak_ewma", "device_aware",
/// "session", "custom".
std::string_view to_string(RouterMode mode) noexcept;

/// An instance that may be chosen.
struct Candidate {
    const discovery::Instance* instance;
    std::uint32_t outstanding;  ///< calls of this process that it has not ended, by all routers
    Duration latency;           ///< to the first item, as peak_ewma weighs it; zero: not known
};

/// Chooses an index into the candidates, of which there is at least one; anything beyond them means
/// that none will do. Called by one call at a time; must not block.
using RoutingPolicy = std::function<std::size_t(std::span<const Candidate>, const Context&)>;

/// A second instance is asked when the first has not answered yet; the answer of whoever begins it
/// first counts, the other call is killed. For requests that may be made twice: of one message, not
/// direct, not `at_most_once`.
struct Hedging {
    Duration after{};  ///< without a first item; well above the usual latency
    /// How many second calls there may be for each call, on average: an overload is not doubled.
    double budget = 0.1;
};

struct RouterOptions {
    RouterMode mode = RouterMode::round_robin;
    RoutingPolicy policy{};  ///< of mode custom
    /// Where calls that name no session (CallOptions::session) have it; calls without any are given
    /// to the instances in turn.
    std::string session_header = "x-session-id";
    /// How long a high latency counts in mode peak_ewma.
    Duration latency_decay = std::chrono::seconds{10};
    /// How many CPU instances do the work of one accelerator, in mode device_aware; at least 1.
    std::uint32_t device_weight = 8;
    std::optional<Hedging> hedge{};
};

}  // namespace stator::inline component
