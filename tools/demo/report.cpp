#include "tools/demo/report.hpp"

#include <signal.h>

#include <algorithm>
#include <numeric>

#include <fmt/format.h>

namespace stator::demo {

namespace {

const char* name_of(Role role) noexcept {
    switch (role) {
        case Role::stays:
            return "stays";
        case Role::killed:
            return "killed";
        case Role::drained:
            return "drained";
        case Role::joined:
            return "joins late";
    }
    return "?";
}

std::size_t sum(const Figures& figures, std::size_t WorkerFigures::* field) {
    return std::accumulate(
        figures.workers.begin(),
        figures.workers.end(),
        std::size_t{0},
        [&](std::size_t so_far, const auto& worker) { return so_far + worker.*field; }
    );
}

std::string end_of(const WorkerFigures& worker) {
    return worker.end ? worker.end->to_string() : "runs";
}

bool exited_in_order(const WorkerFigures& worker) {
    return worker.end && worker.end->exited_with(0);
}

Finding all_accounted_for(const Figures& figures) {
    const auto completed = figures.completed();
    const auto interrupted = figures.interrupted();
    auto text = fmt::format(
        "{} requests = {} completed + {} interrupted",
        grouped(figures.requests),
        grouped(completed),
        grouped(interrupted)
    );
    if (figures.unaccepted > 0)
        text += fmt::format(" + {} never accepted", grouped(figures.unaccepted));
    return {text, figures.requests == completed + interrupted};
}

Finding texts_intact(const Figures& figures) {
    const auto altered = sum(figures, &WorkerFigures::altered);
    return {
        fmt::format(
            "{} texts with a word lost, doubled, changed or out of order", grouped(altered)
        ),
        altered == 0
    };
}

Finding only_the_killed_interrupted(const Figures& figures) {
    const auto& killed = figures.of(Role::killed);
    return {
        fmt::format(
            "{} interrupted <= {} accepted by the killed worker, {} elsewhere",
            grouped(figures.interrupted()),
            grouped(killed.accepted),
            grouped(figures.interrupted() - killed.interrupted)
        ),
        figures.interrupted() <= killed.accepted && figures.interrupted() == killed.interrupted
    };
}

Finding interruptions_typed(const Figures& figures) {
    return {
        fmt::format(
            "{} interrupted by anything but disconnected; the last after {}",
            grouped(figures.untyped),
            readable(figures.last_interruption)
        ),
        figures.untyped == 0
    };
}

Finding kill_hurt(const Figures& figures) {
    const auto& killed = figures.of(Role::killed);
    return {
        fmt::format(
            "{} streams (at least {}) ran on the worker that got SIGKILL",
            grouped(figures.held_at_kill),
            grouped(figures.required_at_kill)
        ),
        figures.held_at_kill >= figures.required_at_kill && killed.end &&
            killed.end->killed_by(SIGKILL)
    };
}

Finding left_routing(const Figures& figures) {
    if (!figures.left_routing) return {"the dead worker never left the routing set", false};
    return {
        fmt::format(
            "{} from SIGKILL until the dead worker had left the routing set{}",
            readable(*figures.left_routing),
            figures.stayed_out ? "" : ", and it came back"
        ),
        *figures.left_routing <= longest_routing_of_dead && figures.stayed_out
    };
}

Finding drained_lost_nothing(const Figures& figures) {
    const auto& drained = figures.of(Role::drained);
    const auto lost = drained.accepted - std::min(drained.accepted, drained.completed);
    return {
        fmt::format(
            "{} lost of the drained worker's {} streams, {} ran at SIGTERM; {}",
            grouped(lost),
            grouped(drained.accepted),
            grouped(figures.held_at_drain),
            end_of(drained)
        ),
        lost == 0 && figures.held_at_drain > 0 && exited_in_order(drained)
    };
}

Finding joiner_worked(const Figures& figures) {
    const auto& joined = figures.of(Role::joined);
    return {
        fmt::format("{} requests went to the worker that joined late", grouped(joined.accepted)),
        joined.accepted > 0
    };
}

Finding others_ended_in_order(const Figures& figures) {
    const auto& stays = figures.of(Role::stays);
    const auto& joined = figures.of(Role::joined);
    return {
        fmt::format("the two others ended when told to: {}, {}", end_of(stays), end_of(joined)),
        exited_in_order(stays) && exited_in_order(joined)
    };
}

}  // namespace

const WorkerFigures& Figures::of(Role role) const {
    static const WorkerFigures nobody;
    const auto found = std::ranges::find(workers, role, &WorkerFigures::role);
    return found == workers.end() ? nobody : *found;
}

std::size_t Figures::completed() const { return sum(*this, &WorkerFigures::completed); }
std::size_t Figures::interrupted() const { return sum(*this, &WorkerFigures::interrupted); }

std::vector<Finding> findings(const Figures& figures) {
    return {
        all_accounted_for(figures),
        texts_intact(figures),
        kill_hurt(figures),
        only_the_killed_interrupted(figures),
        interruptions_typed(figures),
        left_routing(figures),
        drained_lost_nothing(figures),
        joiner_worked(figures),
        others_ended_in_order(figures),
    };
}

std::vector<std::string> table(const Figures& figures) {
    constexpr std::string_view row = "{:>6}  {:<10} {:>8} {:>9} {:>6} {:>10} {:>12}  {}";
    std::vector<std::string> lines{fmt::format(
        row, "worker", "", "pid", "accepted", "share", "completed", "interrupted", "end"
    )};
    const auto accepted = std::max<std::size_t>(sum(figures, &WorkerFigures::accepted), 1);
    for (std::size_t i = 0; i < figures.workers.size(); ++i) {
        const auto& worker = figures.workers[i];
        const double share =
            100.0 * static_cast<double>(worker.accepted) / static_cast<double>(accepted);
        lines.push_back(fmt::format(
            row,
            i + 1,
            name_of(worker.role),
            worker.pid,
            grouped(worker.accepted),
            fmt::format("{:.1f}%", share),
            grouped(worker.completed),
            grouped(worker.interrupted),
            end_of(worker)
        ));
    }
    return lines;
}

std::string grouped(std::size_t number) {
    auto digits = fmt::format("{}", number);
    for (std::size_t at = digits.size(); at > 3;) digits.insert(at -= 3, 1, ',');
    return digits;
}

std::string readable(Duration duration) {
    const double seconds = std::chrono::duration<double>(duration).count();
    return seconds < 1.0 ? fmt::format("{:.1f} ms", seconds * 1e3)
                         : fmt::format("{:.2f} s", seconds);
}

}  // namespace stator::demo
