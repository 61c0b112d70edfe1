#include "stator/store/lock.hpp"

#include <unistd.h>

#include <utility>

#include <fmt/format.h>

#include "stator/runtime/timer.hpp"
#include "store/queue_place.hpp"

namespace stator::store {

namespace {

std::string holder_of(const LockOptions& options) {
    return options.holder.empty() ? fmt::format("process {}", ::getpid()) : options.holder;
}

Task<QueuePlace> line_up_for(
    std::shared_ptr<KeyValueStore> store, std::string name, LockOptions options
) {
    auto holder = holder_of(options);
    co_return co_await line_up(
        std::move(store),
        "locks",
        std::move(name),
        std::move(holder),
        {.bound_to = options.bound_to, .ttl = options.ttl}
    );
}

Error waited_in_vain(const std::string& name, const QueuePlace& place, const QueueView& view) {
    const auto* const first = view.first();
    return Error{
        ErrorCode::deadline_exceeded,
        "store.lock_wait",
        first == nullptr ? fmt::format("the lock {} could not be asked for in time", name)
                         : fmt::format(
                               "the lock {} is held by {}; {} are before us",
                               name,
                               first->value,
                               view.before(place.created)
                           )
    };
}

}  // namespace

Task<Lock> Lock::acquire(
    std::shared_ptr<KeyValueStore> store, std::string name, LockOptions options
) {
    const auto deadline = options.deadline;
    QueueView view;
    QueuePlace place;
    auto lined_up = co_await as_result(
        with_deadline(deadline, line_up_for(std::move(store), name, std::move(options)))
    );
    if (lined_up) {
        place = std::move(*lined_up);
        const auto first = co_await as_result(with_deadline(deadline, until_first(&place, &view)));
        if (first)
            co_return Lock{
                std::move(name), std::move(place.key), place.created, std::move(place.session)
            };
        // Before the caller goes on: who was next behind us does not wait for nothing.
        (void)co_await as_result(shielded(place.session.close()));
        if (first.error().code() != ErrorCode::deadline_exceeded) throw first.error();
    } else if (lined_up.error().code() != ErrorCode::deadline_exceeded) {
        throw std::move(lined_up.error());
    }
    throw waited_in_vain(name, place, view);
}

Task<std::optional<Lock>> Lock::try_acquire(
    std::shared_ptr<KeyValueStore> store, std::string name, LockOptions options
) {
    const auto deadline = options.deadline;
    auto place = co_await with_deadline(deadline, line_up_for(store, name, std::move(options)));
    QueueView view;
    view.apply({
        .kind = WatchEvent::Kind::snapshot,
        .entries = co_await store->list(place.prefix),
        .entry = {},
    });
    if (view.contains(place.key, place.created) && view.before(place.created) == 0)
        co_return Lock{
            std::move(name), std::move(place.key), place.created, std::move(place.session)
        };
    co_await place.session.close();
    co_return std::nullopt;
}

}  // namespace stator::store
