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
    QueueRequest request{
        .kind = "locks",
        .name = std::move(name),
        .value = holder_of(options),
        .shared = options.mode == LockMode::shared,
    };
    co_return co_await line_up(
        std::move(store), std::move(request), {.bound_to = options.bound_to, .ttl = options.ttl}
    );
}

std::string in_the_way(const std::string& name, const QueuePlace& place, const QueueView& view) {
    const auto* const first = view.first();
    if (first == nullptr) return fmt::format("the lock {} could not be asked for in time", name);
    const auto before = view.in_the_way_of(place).size();
    if (!is_shared(place.prefix, first->key))
        return fmt::format(
            "the lock {} is held by {}; {} are before us", name, first->value, before
        );
    return fmt::format("the lock {} is shared by {}; {} are before us", name, first->value, before);
}

/// What `error` is to who asks for the lock: all that was seen of the queue is in `view`.
Error in_words(
    const Error& error,
    const std::string& name,
    const QueuePlace& place = {},
    const QueueView& view = {}
) {
    if (error.code() != ErrorCode::deadline_exceeded) return error;
    return Error{ErrorCode::deadline_exceeded, "store.lock_wait", in_the_way(name, place, view)};
}

}  // namespace

std::string_view to_string(LockMode mode) noexcept {
    switch (mode) {
        case LockMode::exclusive:
            return "exclusive";
        case LockMode::shared:
            return "shared";
    }
    return "unknown";
}

Lock::Lock(std::string name, QueuePlace place) noexcept
    : name_{std::move(name)},
      mode_{place.shared ? LockMode::shared : LockMode::exclusive},
      key_{std::move(place.key)},
      created_{place.created},
      session_{std::move(place.session)} {}

Task<Lock> Lock::acquire(
    std::shared_ptr<KeyValueStore> store, std::string name, LockOptions options
) {
    const auto deadline = options.deadline;
    auto lined_up = co_await as_result(
        with_deadline(deadline, line_up_for(std::move(store), name, std::move(options)))
    );
    if (!lined_up) throw in_words(lined_up.error(), name);
    auto place = std::move(*lined_up);
    QueueView view;
    const auto turn = co_await as_result(with_deadline(deadline, until_its_turn(&place, &view)));
    if (turn) co_return Lock{std::move(name), std::move(place)};
    // Before the caller goes on: who was next behind us does not wait for nothing.
    (void)co_await as_result(shielded(place.session.close()));
    throw in_words(turn.error(), name, place, view);
}

namespace {

Task<QueueView> look(std::shared_ptr<KeyValueStore> store, std::string prefix) {
    QueueView view;
    auto entries = co_await store->list(std::move(prefix));
    view.apply({.kind = WatchEvent::Kind::snapshot, .entries = std::move(entries), .entry = {}});
    co_return view;
}

}  // namespace

Task<std::optional<Lock>> Lock::try_acquire(
    std::shared_ptr<KeyValueStore> store, std::string name, LockOptions options
) {
    const auto deadline = options.deadline;
    auto lined_up =
        co_await as_result(with_deadline(deadline, line_up_for(store, name, std::move(options))));
    if (!lined_up) throw in_words(lined_up.error(), name);
    auto place = std::move(*lined_up);
    const auto view = co_await as_result(with_deadline(deadline, look(store, place.prefix)));
    if (view && view->may_go(place)) co_return Lock{std::move(name), std::move(place)};
    // As in `acquire`, but what is known by now needs no more time than there is.
    (void)co_await as_result(shielded(with_deadline(deadline, place.session.close())));
    if (!view) throw in_words(view.error(), name);
    co_return std::nullopt;
}

}  // namespace stator::store
