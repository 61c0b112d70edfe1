#include "store/queue_place.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "stator/base/text.hpp"
#include "stator/runtime/combinators.hpp"
#include "stator/store/steady_watch.hpp"

namespace stator::store {

namespace {

constexpr std::size_t longest_name = 200;

}  // namespace

void check_tool_name(std::string_view what, std::string_view name) {
    const bool good =
        !name.empty() && name.size() <= longest_name && std::ranges::none_of(name, [](char letter) {
            const auto byte = static_cast<unsigned char>(letter);
            return byte < 0x20 || byte == 0x7f || letter == '/';
        });
    if (good) return;
    throw Error{
        ErrorCode::invalid_request,
        "store.name",
        fmt::format(
            "{} {} is not 1 to {} bytes without / and control characters",
            what,
            quoted_text(name),
            longest_name
        )
    };
}

void require_sessions(const KeyValueStore& store) {
    if (store.has_sessions()) return;
    throw Error{
        ErrorCode::unimplemented,
        "store.no_sessions",
        fmt::format(
            "the {} store has no sessions, so no locks, elections and barriers", store.backend()
        )
    };
}

void QueueView::apply(WatchEvent event) {
    if (event.kind == WatchEvent::Kind::snapshot) {
        entries_.clear();
        for (auto& entry : event.entries) {
            auto key = entry.key;
            entries_.insert_or_assign(std::move(key), std::move(entry));
        }
    } else if (event.kind == WatchEvent::Kind::removed) {
        entries_.erase(event.entry.key);
    } else {
        auto key = event.entry.key;
        entries_.insert_or_assign(std::move(key), std::move(event.entry));
    }
}

const Entry* QueueView::find(const std::string& key) const {
    const auto found = entries_.find(key);
    return found == entries_.end() ? nullptr : &found->second;
}

bool QueueView::contains(const std::string& key, std::uint64_t created) const {
    const auto* const found = find(key);
    return found != nullptr && found->created == created;
}

const Entry* QueueView::first() const {
    const auto found = std::ranges::min_element(entries_, {}, [](const auto& item) {
        return item.second.created;
    });
    return found == entries_.end() ? nullptr : &found->second;
}

std::size_t QueueView::before(std::uint64_t created) const {
    return static_cast<std::size_t>(std::ranges::count_if(entries_, [&](const auto& item) {
        return item.second.created < created;
    }));
}

Task<QueuePlace> line_up(
    std::shared_ptr<KeyValueStore> store,
    std::string kind,
    std::string name,
    std::string value,
    SessionOptions options
) {
    check_tool_name("the name", name);
    QueuePlace place{.prefix = fmt::format("v1/{}/{}/", kind, name), .key = {}, .session = {}};
    place.session = co_await store->open_session(std::move(options));
    place.key = place.prefix + place.session.id();
    GuardedWrite write;
    write.guards.push_back({place.key, 0});
    write.puts.push_back({place.key, std::move(value)});
    const auto reply = co_await place.session.write(std::move(write));
    if (!reply.done)
        throw Error{ErrorCode::already_exists, "store.session_id", place.key + " is there already"};
    place.created = reply.revision;
    co_return place;
}

namespace {

/// A view in which the own place does not show is from before it, or the place is gone, of which
/// the session tells.
Task<> follow_queue(const QueuePlace* place, QueueView* view) {
    auto watch = co_await SteadyWatch::open(place->session.store(), place->prefix);
    while (auto event = co_await watch.next()) {
        view->apply(std::move(*event));
        if (view->contains(place->key, place->created) && view->before(place->created) == 0)
            co_return;
    }
    throw Error{ErrorCode::unavailable, "store.closed", "the store is closed"};
}

}  // namespace

Task<> until_first(const QueuePlace* place, QueueView* view) {
    (void)co_await when_any(follow_queue(place, view), place->session.until_lost());
}

}  // namespace stator::store
