#include "component/selection.hpp"

#include <algorithm>
#include <functional>
#include <map>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "component/client_state.hpp"
#include "stator/base/random.hpp"
#include "stator/transport/mux_frame.hpp"

namespace stator::inline component {

namespace {

using discovery::Instance;
using discovery::Standing;

constexpr std::size_t most_named = 8;  // instances of one kind in a message

/// Chooses among those that are left.
class Choice {
public:
    Choice(
        Selector& selector,
        const RoutingView& view,
        const std::shared_ptr<LoadBook>& book,
        const Wanted& wanted
    )
        : selector_{selector}, view_{view}, book_{book}, wanted_{wanted} {}

    /// Nothing when the filters leave nobody.
    std::optional<Chosen> make();

private:
    const RoutingView::Entry& entry(std::size_t i) const noexcept {
        return view_.routable[all_ ? i : left_[i]];
    }
    std::uint32_t outstanding(std::size_t i) const noexcept {
        return entry(i).load->outstanding.load(std::memory_order_relaxed);
    }
    bool tried(const Instance& instance) const noexcept {
        return std::ranges::find(wanted_.tried, instance.id) != wanted_.tried.end();
    }
    void filter();
    bool filter_marked();
    std::optional<std::size_t> by_mode();
    std::size_t by_latency();
    std::size_t by_device();
    std::size_t by_session();
    std::optional<std::size_t> by_policy();
    std::optional<Chosen> reserve(std::optional<std::size_t> index);

    Selector& selector_;
    const RoutingView& view_;
    const std::shared_ptr<LoadBook>& book_;
    const Wanted& wanted_;
    bool all_ = true;  // nobody is left out: left_ is not filled
    std::size_t count_ = 0;
    static thread_local std::vector<std::uint32_t> left_;
};

thread_local std::vector<std::uint32_t> Choice::left_;

/// The usual case leaves nobody out and costs nothing.
void Choice::filter() {
    count_ = view_.routable.size();
    const bool any_plane = wanted_.options.plane == Plane::any && view_.same_for_all;
    const bool marked = book_->ever_marked() && book_->any_marked(Clock::current().now());
    if (any_plane && wanted_.tried.empty() && !marked) return;
    all_ = false;
    left_.clear();
    for (std::uint32_t i = 0; i < count_; ++i) {
        const auto& at = view_.routable[i];
        if (tried(*at.instance)) continue;
        if (common_plane(*at.instance, wanted_.options.plane, at.own)) left_.push_back(i);
    }
    count_ = left_.size();
}

/// Those above a threshold get nothing; those that said that they are full are passed over while
/// there are others. With the book's lock.
bool Choice::filter_marked() {
    const auto now = Clock::current().now();
    if (!book_->any_marked(now)) return count_ > 0;
    std::erase_if(left_, [&](std::uint32_t i) { return view_.routable[i].load->busy_until > now; });
    const auto full = [&](std::uint32_t i) { return view_.routable[i].load->full_until > now; };
    if (!std::ranges::all_of(left_, full)) std::erase_if(left_, full);
    count_ = left_.size();
    return count_ > 0;
}

std::size_t Choice::by_latency() {
    const auto now = Clock::current().now();
    return policy::better_of_two(count_, thread_random(), [&](std::size_t i) {
        const auto latency = entry(i).load->latency.value(now, selector_.options.latency_decay);
        return policy::peak_ewma_score(latency, outstanding(i));
    });
}

/// With the book's lock.
std::size_t Choice::by_device() {
    const auto on_cpu = [this](std::size_t i) {
        return entry(i).instance->device_type == discovery::DeviceType::cpu;
    };
    policy::DeviceGroup cpus;
    policy::DeviceGroup accelerators;
    for (std::size_t i = 0; i < count_; ++i) {
        auto& group = on_cpu(i) ? cpus : accelerators;
        group.calls += outstanding(i);
        ++group.instances;
    }
    const bool wanted = policy::cpu_has_room(cpus, accelerators, selector_.options.device_weight);
    return policy::lowest(count_, thread_random().below(count_), [&](std::size_t i) {
        return std::pair{on_cpu(i) != wanted, outstanding(i)};
    });
}

std::size_t Choice::by_session() {
    std::string_view session = wanted_.options.session;
    if (session.empty()) {
        session = wanted_.context.header(selector_.options.session_header).value_or("");
    }
    if (session.empty()) return selector_.turn.fetch_add(1, std::memory_order_relaxed) % count_;
    const auto key = std::hash<std::string_view>{}(session);
    return policy::owner_of(key, count_, [&](std::size_t i) {
        return entry(i).instance->id.value();
    });
}

std::optional<std::size_t> Choice::by_policy() {
    std::vector<Candidate> candidates;
    candidates.reserve(count_);
    const auto now = Clock::current().now();
    {
        const std::lock_guard guard{book_->lock()};
        for (std::size_t i = 0; i < count_; ++i) {
            const auto ns = entry(i).load->latency.value(now, selector_.options.latency_decay);
            candidates.push_back({
                entry(i).instance.get(),
                outstanding(i),
                Duration{static_cast<Duration::rep>(ns)},
            });
        }
    }
    const auto index = selector_.options.policy(candidates, wanted_.context);
    if (index >= count_) return std::nullopt;
    return index;
}

std::optional<std::size_t> Choice::by_mode() {
    const auto load = [this](std::size_t i) { return outstanding(i); };
    switch (selector_.options.mode) {
        case RouterMode::random:
            return thread_random().below(count_);
        case RouterMode::power_of_two:
            return policy::better_of_two(count_, thread_random(), load);
        case RouterMode::least_loaded:
            return policy::lowest(count_, thread_random().below(count_), load);
        case RouterMode::peak_ewma:
            return by_latency();
        case RouterMode::device_aware:
            return by_device();
        case RouterMode::session:
            return by_session();
        case RouterMode::custom:
            if (selector_.options.policy) return by_policy();
            [[fallthrough]];
        case RouterMode::round_robin:
        case RouterMode::direct:
            break;
    }
    return selector_.turn.fetch_add(1, std::memory_order_relaxed) % count_;
}

std::optional<Chosen> Choice::reserve(std::optional<std::size_t> index) {
    if (!index) return std::nullopt;
    const auto& at = entry(*index);
    Chosen chosen{
        at.instance,
        *common_plane(*at.instance, wanted_.options.plane, at.own),
        Reservation{book_, at.load}
    };
    const auto mode = selector_.options.mode;
    if (mode == RouterMode::peak_ewma || mode == RouterMode::custom)
        chosen.reservation.time(Clock::current().now(), selector_.options.latency_decay);
    return chosen;
}

std::optional<Chosen> Choice::make() {
    filter();
    if (count_ == 0) return std::nullopt;
    const auto mode = selector_.options.mode;
    if (mode == RouterMode::custom && selector_.options.policy) {
        const std::lock_guard guard{selector_.custom};
        if (!all_) {
            const std::lock_guard marks{book_->lock()};
            if (!filter_marked()) return std::nullopt;
        }
        return reserve(by_mode());
    }
    const bool by_load = mode == RouterMode::power_of_two || mode == RouterMode::least_loaded ||
                         mode == RouterMode::peak_ewma || mode == RouterMode::device_aware;
    if (all_ && !by_load) return reserve(by_mode());
    // Whoever looks at a load reserves before anybody else looks: no two see the same lowest one.
    const std::lock_guard guard{book_->lock()};
    if (!all_ && !filter_marked()) return std::nullopt;
    return reserve(by_mode());
}

/// The instances of one reason: "2 quarantined (a, b)".
class Reasons {
public:
    void add(std::string_view reason, InstanceId id) {
        for (auto& [known, ids] : reasons_) {
            if (known == reason) return ids.push_back(id.to_string());
        }
        reasons_.push_back({std::string{reason}, {id.to_string()}});
    }
    std::string text() const {
        std::string all;
        for (const auto& [reason, ids] : reasons_) {
            const auto named = std::span{ids}.first(std::min(ids.size(), most_named));
            all += fmt::format(
                "{}{} {} ({}{})",
                all.empty() ? "" : ", ",
                ids.size(),
                reason,
                fmt::join(named, ", "),
                named.size() < ids.size() ? ", ..." : ""
            );
        }
        return all;
    }
    bool empty() const noexcept { return reasons_.empty(); }

private:
    std::vector<std::pair<std::string, std::vector<std::string>>> reasons_;
};

Error nobody(
    const EndpointId& endpoint, ErrorCode code, std::string_view detail, const Reasons& why
) {
    return Error{
        code,
        std::string{detail},
        why.empty()
            ? fmt::format("no instance of {} is registered", endpoint.to_string())
            : fmt::format(
                  "no instance of {} can take requests: {}", endpoint.to_string(), why.text()
              )
    };
}

std::string offers(const Instance& instance, Plane wanted) {
    return fmt::format(
        "without a common plane: it offers {}{}, asked for is {}",
        discovery::to_string(instance.transport.kind),
        instance.mux ? " and mux" : "",
        to_string(wanted)
    );
}

/// Goes through the filters again, and notes which of them kept whom out.
Error why_nobody(
    const RoutingView& view, const LoadBook& book, const EndpointId& endpoint, const Wanted& wanted
) {
    Reasons reasons;
    bool room_may_come = false;
    bool all_mute = true;
    const auto now = Clock::current().now();
    for (const auto& member : view.set->members) {
        const auto& instance = *member.instance;
        const auto entry = std::ranges::find_if(view.routable, [&](const auto& at) {
            return at.instance->id == instance.id;
        });
        const OwnSide own = entry != view.routable.end() ? entry->own : OwnSide{.nats = view.nats};
        room_may_come = room_may_come || member.standing == Standing::full;
        if (!discovery::is_routable(member.standing)) {
            all_mute = false;
            reasons.add(discovery::to_string(member.standing), instance.id);
        } else if (!common_plane(instance, wanted.options.plane, own)) {
            reasons.add(offers(instance, wanted.options.plane), instance.id);
        } else if (std::ranges::find(wanted.tried, instance.id) != wanted.tried.end()) {
            all_mute = false;
            reasons.add("tried", instance.id);
        } else if (const auto busy = book.why_busy(instance.id, now); !busy.empty()) {
            all_mute = false;
            room_may_come = true;
            reasons.add("busy: " + busy, instance.id);
        } else {
            all_mute = false;
            reasons.add("not wanted by the policy", instance.id);
        }
    }
    if (!reasons.empty() && all_mute)
        return nobody(endpoint, ErrorCode::unavailable, "component.no_common_plane", reasons);
    return nobody(
        endpoint,
        room_may_come ? ErrorCode::overloaded : ErrorCode::unavailable,
        "component.no_instances",
        reasons
    );
}

Chosen named(
    const RoutingView& view,
    const std::shared_ptr<LoadBook>& book,
    const EndpointId& endpoint,
    const Wanted& wanted
) {
    const auto id = wanted.options.instance;
    const auto* member = view.set->find(id);
    if (member == nullptr || member->standing == Standing::quarantined) {
        throw Error{
            ErrorCode::unavailable,
            "component.no_such_instance",
            fmt::format(
                "instance {} of {} {}",
                id.to_string(),
                endpoint.to_string(),
                member == nullptr ? "is not registered" : "cannot be reached"
            )
        };
    }
    const auto entry =
        std::ranges::find_if(view.routable, [&](const auto& at) { return at.instance->id == id; });
    const bool routable = entry != view.routable.end();
    const auto common = common_plane(
        *member->instance, wanted.options.plane, routable ? entry->own : OwnSide{.nats = view.nats}
    );
    if (!common) {
        Reasons reasons;
        reasons.add(offers(*member->instance, wanted.options.plane), id);
        throw nobody(endpoint, ErrorCode::unavailable, "component.no_common_plane", reasons);
    }
    // One that is passed over otherwise may be named all the same; nobody else counts its calls.
    return {member->instance, *common, routable ? Reservation{book, entry->load} : Reservation{}};
}

}  // namespace

std::optional<Plane> common_plane(const Instance& instance, Plane allowed, OwnSide own) noexcept {
    const auto may = [allowed](Plane plane) { return allowed == Plane::any || allowed == plane; };
    if (own.local && may(Plane::in_process)) return Plane::in_process;
    if (may(Plane::mux) && instance.mux && instance.mux->speaks(transport::mux::highest_version))
        return Plane::mux;
    const bool by_tcp = instance.transport.kind == discovery::TransportKind::tcp;
    if (may(Plane::dynamo) && (by_tcp || own.nats)) return Plane::dynamo;
    return std::nullopt;
}

Chosen choose(
    Selector& selector,
    const RoutingView& view,
    const std::shared_ptr<LoadBook>& book,
    const EndpointId& endpoint,
    const Wanted& wanted
) {
    if (selector.options.mode == RouterMode::direct) return named(view, book, endpoint, wanted);
    if (auto chosen = Choice{selector, view, book, wanted}.make()) return std::move(*chosen);
    throw why_nobody(view, *book, endpoint, wanted);
}

Error no_instances(const EndpointId& endpoint, const discovery::InstanceSet& set) {
    Reasons reasons;
    bool full = false;
    for (const auto& member : set.members) {
        reasons.add(discovery::to_string(member.standing), member.instance->id);
        full = full || member.standing == Standing::full;
    }
    // Then a moment later may do, and the caller should know that.
    return nobody(
        endpoint,
        full ? ErrorCode::overloaded : ErrorCode::unavailable,
        "component.no_instances",
        reasons
    );
}

}  // namespace stator::inline component
