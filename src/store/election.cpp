#include "stator/store/election.hpp"

#include <utility>

#include <fmt/format.h>

#include "store/queue_place.hpp"

namespace stator::store {

namespace {

constexpr const char* kind = "elections";

}  // namespace

Task<Leadership> campaign(
    std::shared_ptr<KeyValueStore> store,
    std::string name,
    std::string value,
    ElectionOptions options
) {
    auto place = co_await line_up(
        std::move(store),
        {.kind = kind, .name = std::move(name), .value = std::move(value)},
        {.bound_to = std::move(options.bound_to), .ttl = options.ttl}
    );
    QueueView view;
    const auto first = co_await as_result(until_its_turn(&place, &view));
    if (!first) {
        (void)co_await as_result(shielded(place.session.close()));
        throw first.error();
    }
    co_return Leadership{std::move(place.key), place.created, std::move(place.session)};
}

namespace {

Task<> rewrite(Session session, GuardedWrite write) {
    const auto reply = co_await session.write(std::move(write));
    if (!reply.done)
        throw Error{
            ErrorCode::unavailable, "store.session_lost", "the leader's key is somebody else's"
        };
}

}  // namespace

Task<> Leadership::proclaim(std::string value) const {
    GuardedWrite write;
    write.guards.push_back({key_, created_});
    write.puts.push_back({key_, std::move(value)});
    return rewrite(session_, std::move(write));
}

class LeaderWatch::View {
public:
    QueueView queue;
    std::optional<Leader> told;
    bool begun = false;
};

LeaderWatch::LeaderWatch(SteadyWatch watch)
    : watch_{std::move(watch)}, view_{std::make_shared<View>()} {}

Task<LeaderWatch> LeaderWatch::open(std::shared_ptr<KeyValueStore> store, std::string name) {
    require_sessions(*store);
    check_tool_name("the name", name);
    co_return LeaderWatch{
        co_await SteadyWatch::open(std::move(store), fmt::format("v1/{}/{}/", kind, name))
    };
}

Task<std::optional<Leader>> LeaderWatch::next() {
    while (auto event = co_await watch_.next()) {
        view_->queue.apply(std::move(*event));
        std::optional<Leader> leader;
        if (const auto* const first = view_->queue.first())
            leader = Leader{
                .id = first->key.substr(watch_.prefix().size()),
                .value = first->value,
                .fencing_token = first->created,
            };
        if (std::exchange(view_->begun, true) && leader == view_->told) continue;
        view_->told = leader;
        co_return leader;
    }
    throw Error{ErrorCode::unavailable, "store.closed", "the store is closed"};
}

}  // namespace stator::store
