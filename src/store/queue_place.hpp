// A place in a queue of contenders: what locks and elections have in common.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "stator/store/key_value_store.hpp"
#include "stator/store/session.hpp"

namespace stator::store {

/// Throws Error{invalid_request}, detail "store.name", for what cannot be part of a key: empty,
/// longer than 200 bytes, with "/" or control characters.
void check_tool_name(std::string_view what, std::string_view name);
/// Throws Error{unimplemented}, detail "store.no_sessions".
void require_sessions(const KeyValueStore& store);

/// What there is below a prefix, in the order in which it came to be.
class QueueView {
public:
    void apply(WatchEvent event);
    const std::map<std::string, Entry, std::less<>>& entries() const noexcept { return entries_; }
    const Entry* find(const std::string& key) const;
    bool contains(const std::string& key, std::uint64_t created) const;
    /// The entry that has been there the longest; nothing if there is none.
    const Entry* first() const;
    /// How many came before `created`.
    std::size_t before(std::uint64_t created) const;

private:
    std::map<std::string, Entry, std::less<>> entries_;
};

struct QueuePlace {
    std::string prefix;  ///< of the queue, with "/"
    std::string key;
    std::uint64_t created = 0;
    Session session;
};

/// Lines up at the end of the queue `v1/<kind>/<name>/`. Errors: of Session; invalid_request
/// "store.name". Cancel safety: throws `cancelled`; the place is given back.
Task<QueuePlace> line_up(
    std::shared_ptr<KeyValueStore> store,
    std::string kind,
    std::string name,
    std::string value,
    SessionOptions options
);
/// Waits until nobody is before it; `view` is what it has seen, and outlives the call. Errors:
/// unavailable "store.session_lost"; the store's. Cancel safety: throws `cancelled`.
Task<> until_first(const QueuePlace* place, QueueView* view);

}  // namespace stator::store
