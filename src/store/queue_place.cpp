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
/// Below the queue's prefix. Who does not know of it takes those below it for ones who go alone.
constexpr std::string_view shared_part = "shared/";

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

std::vector<const Entry*> QueueView::in_the_way_of(const QueuePlace& place) const {
    std::vector<const Entry*> found;
    for (const auto& [key, entry] : entries_) {
        const bool together = place.shared && is_shared(place.prefix, key);
        if (entry.created < place.created && !together) found.push_back(&entry);
    }
    std::ranges::sort(found, {}, [](const Entry* entry) { return entry->created; });
    return found;
}

bool QueueView::may_go(const QueuePlace& place) const {
    // A view in which it does not show is from before it, or it is gone, of which the session
    // tells.
    return contains(place.key, place.created) && in_the_way_of(place).empty();
}

bool is_shared(std::string_view prefix, std::string_view key) {
    return key.starts_with(prefix) && key.substr(prefix.size()).starts_with(shared_part);
}

Task<QueuePlace> line_up(
    std::shared_ptr<KeyValueStore> store, QueueRequest request, SessionOptions options
) {
    check_tool_name("the name", request.name);
    QueuePlace place{
        .prefix = fmt::format("v1/{}/{}/", request.kind, request.name),
        .key = {},
        .shared = request.shared,
        .session = {},
    };
    place.session = co_await store->open_session(std::move(options));
    place.key =
        fmt::format("{}{}{}", place.prefix, place.shared ? shared_part : "", place.session.id());
    GuardedWrite write;
    write.guards.push_back({place.key, 0});
    write.puts.push_back({place.key, std::move(request.value)});
    const auto reply = co_await place.session.write(std::move(write));
    if (!reply.done)
        throw Error{ErrorCode::already_exists, "store.session_id", place.key + " is there already"};
    place.created = reply.revision;
    co_return place;
}

namespace {

Task<> follow_queue(const QueuePlace* place, QueueView* view) {
    auto watch = co_await SteadyWatch::open(place->session.store(), place->prefix);
    while (auto event = co_await watch.next()) {
        view->apply(std::move(*event));
        if (view->may_go(*place)) co_return;
    }
    throw Error{ErrorCode::unavailable, "store.closed", "the store is closed"};
}

}  // namespace

Task<> until_its_turn(const QueuePlace* place, QueueView* view) {
    (void)co_await when_any(follow_queue(place, view), place->session.until_lost());
}

}  // namespace stator::store
