// A place in a queue of contenders: what locks and elections have in common.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "stator/store/key_value_store.hpp"
#include "stator/store/session.hpp"

namespace stator::store {

/// Throws Error{invalid_request}, detail "store.name", for what cannot be part of a key: empty,
/// longer than 200 bytes, with "/" or control characters.
void check_tool_name(std::string_view what, std::string_view name);
/// Throws Error{unimplemented}, detail "store.no_sessions".
void require_sessions(const KeyValueStore& store);

/// A place in a queue. Who shares goes together with others who do; the rest goes alone.
struct QueuePlace {
    std::string prefix;  ///< of the queue, with "/"
    std::string key;
    std::uint64_t created = 0;
    bool shared = false;
    Session session;
};

/// What there is below a prefix, in the order in which it came to be.
class QueueView {
public:
    void apply(WatchEvent event);
    const std::map<std::string, Entry, std::less<>>& entries() const noexcept { return entries_; }
    const Entry* find(const std::string& key) const;
    bool contains(const std::string& key, std::uint64_t created) const;
    /// The entry that has been there the longest; nothing if there is none.
    const Entry* first() const;
    /// Who must be gone before the place may go, the oldest first. Who shares waits for nobody but
    /// those who go alone and came before it, be it that they wait themselves.
    std::vector<const Entry*> in_the_way_of(const QueuePlace& place) const;
    /// Once it is, it stays so: whoever comes later waits for it.
    bool may_go(const QueuePlace& place) const;

private:
    std::map<std::string, Entry, std::less<>> entries_;
};

/// Whether the key, of the queue below `prefix`, is of somebody who shares.
bool is_shared(std::string_view prefix, std::string_view key);

struct QueueRequest {
    std::string kind;
    std::string name;
    std::string value;
    bool shared = false;
};

/// Lines up at the end of the queue `v1/<kind>/<name>/`. Errors: of Session; invalid_request
/// "store.name". Cancel safety: throws `cancelled`; the place is given back.
Task<QueuePlace> line_up(
    std::shared_ptr<KeyValueStore> store, QueueRequest request, SessionOptions options
);
/// Waits until it may go; `view` is what it has seen, and outlives the call. Errors: unavailable
/// "store.session_lost"; the store's. Cancel safety: throws `cancelled`.
Task<> until_its_turn(const QueuePlace* place, QueueView* view);

}  // namespace stator::store
