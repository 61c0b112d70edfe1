// Hedged requests: a second call of a request whose first one is slow.
#include <array>

#include "component/route.hpp"
#include "stator/base/sink.hpp"
#include "stator/runtime/combinators.hpp"
#include "stator/runtime/timer.hpp"
#include "stator/runtime/token_wait.hpp"

namespace stator::inline component {

namespace {

/// Up to two calls until one of them has begun its answer. Lives in the frame that runs them; its
/// tasks end before that goes on.
struct Race {
    struct Lane {
        Stream<Bytes> items;
        std::optional<Bytes> first;  // none: an empty answer
        std::optional<Error> error;
    };
    std::array<Lane, 2> lanes;
    std::size_t started = 0;
    std::optional<std::size_t> winner;
    Event decided;

    bool all_failed() const noexcept {
        for (std::size_t i = 0; i < started; ++i) {
            if (!lanes[i].error) return false;
        }
        return true;
    }
};

/// Takes the first item of a lane.
Task<> run_lane(Race* race, std::size_t index) {
    auto& lane = race->lanes[index];
    try {
        lane.first = co_await lane.items.next();
        if (!race->winner) race->winner = index;
    } catch (...) {
        lane.error = to_error(std::current_exception());
    }
    if (race->winner != index) lane.items = {};
    if (race->winner || race->all_failed()) race->decided.set();
}

/// A copy of the route, for the second call.
std::unique_ptr<Route> second_of(const Route& route, Tried* tried) {
    auto options = route.options;
    return std::make_unique<Route>(Route{
        .client = route.client,
        .selector = route.selector,
        .context = route.context,
        .options = std::move(options),
        .shape = route.shape,
        .deadline = route.deadline,
        .shared_tried = tried,
    });
}

bool may_hedge(Selector& selector) {
    const std::lock_guard guard{selector.hedge_lock};
    return selector.hedges.take();
}

Task<> wait_for(Event* event) { co_await event->wait(); }

/// Until one lane has begun its answer, or all have failed. `second` is started when the first lane
/// is slow.
Task<> decide(Race* race, TaskScope* scope, Selector* selector, Stream<Bytes> second) {
    const auto after = Deadline::in(selector->options.hedge->after);
    const auto soon = co_await as_result(with_deadline(after, wait_for(&race->decided)));
    if (soon) co_return;
    if (soon.error().code() != ErrorCode::deadline_exceeded) throw soon.error();
    if (!race->decided.is_set() && may_hedge(*selector)) {
        sink().count("component_calls_hedged_total", 1);
        race->lanes[1].items = std::move(second);
        race->started = 2;
        scope->spawn(run_lane(race, 1));
    }
    co_await race->decided.wait();
}

}  // namespace

Stream<Bytes> hedged(std::unique_ptr<Route> route, Bytes request) {
    Tried tried;
    Race race;
    auto* selector = route->selector;
    const auto keeps_selector = route->client;
    {
        const std::lock_guard guard{selector->hedge_lock};
        selector->hedges.call();
    }
    {
        auto second = through(second_of(*route, &tried), request);
        route->shared_tried = &tried;
        race.lanes[0].items = through(std::move(route), std::move(request));
        race.started = 1;
        TaskScope scope{co_await current_token()};
        scope.spawn(run_lane(&race, 0));
        const auto ended = co_await as_result(decide(&race, &scope, selector, std::move(second)));
        // The other one is killed; nothing runs beside this from here on.
        co_await scope.close();
        if (!race.winner) throw ended ? *race.lanes[0].error : ended.error();
    }
    auto& lane = race.lanes[*race.winner];
    if (*race.winner == 1) sink().count("component_calls_won_by_hedge_total", 1);
    while (lane.first) {
        co_yield std::move(*lane.first);
        lane.first = co_await lane.items.next();
    }
}

}  // namespace stator::inline component
