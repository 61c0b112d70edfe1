// What the demo found, and whether it is what was promised.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "stator/base/clock.hpp"
#include "tools/demo/child_process.hpp"

namespace stator::demo {

enum class Role { stays, killed, drained, joined };

struct WorkerFigures {
    Role role = Role::stays;
    pid_t pid = 0;
    std::size_t accepted = 0;
    std::size_t completed = 0;    ///< with the very text that the model gives
    std::size_t interrupted = 0;  ///< ended by an error after acceptance
    std::size_t altered = 0;      ///< a piece was lost, doubled, changed or out of order
    std::optional<ProcessEnd> end;
};

/// Streams are counted for the worker that accepted them.
struct Figures {
    std::vector<WorkerFigures> workers;
    std::size_t requests = 0;
    std::size_t unaccepted = 0;  ///< ended by an error before anybody accepted them
    std::size_t untyped = 0;     ///< interrupted by something else than `disconnected`
    std::size_t held_at_kill = 0;
    std::size_t required_at_kill = 0;
    std::size_t held_at_drain = 0;
    std::optional<Duration>
        left_routing;              ///< from the kill until the dead worker was no longer routed to
    bool stayed_out = false;       ///< ... and that was still so at the end
    Duration last_interruption{};  ///< from the kill

    const WorkerFigures& of(Role role) const;
    std::size_t completed() const;
    std::size_t interrupted() const;
};

/// One promise, in words with its numbers.
struct Finding {
    std::string text;
    bool holds = false;
};

/// Longer than this a dead worker is not given requests.
inline constexpr Duration longest_routing_of_dead = std::chrono::seconds{1};

std::vector<Finding> findings(const Figures& figures);

/// The lines of the table, one for each worker.
std::vector<std::string> table(const Figures& figures);

/// "12,345".
std::string grouped(std::size_t number);
/// "3.4 ms", "1.25 s".
std::string readable(Duration duration);

}  // namespace stator::demo
