#include "stator/store/watch_diff.hpp"

#include <utility>

namespace stator::store {

namespace {

using Values = std::map<std::string, std::string, std::less<>>;

std::vector<KeyChange> difference(const Values& before, const Values& now) {
    std::vector<KeyChange> changes;
    for (const auto& [key, value] : before) {
        if (!now.contains(key)) changes.push_back({KeyChange::Kind::removed, key, {}});
    }
    for (const auto& [key, value] : now) {
        const auto old = before.find(key);
        if (old == before.end() || old->second != value)
            changes.push_back({KeyChange::Kind::put, key, value});
    }
    return changes;
}

}  // namespace

std::vector<KeyChange> WatchDiff::apply(WatchEvent event) {
    if (event.kind == WatchEvent::Kind::snapshot) {
        Values now;
        for (auto& entry : event.entries)
            now.insert_or_assign(std::move(entry.key), std::move(entry.value));
        auto changes = difference(known_, now);
        known_ = std::move(now);
        return changes;
    }
    auto& key = event.entry.key;
    const auto old = known_.find(key);
    if (event.kind == WatchEvent::Kind::removed) {
        if (old == known_.end()) return {};
        known_.erase(old);
        return {{KeyChange::Kind::removed, std::move(key), {}}};
    }
    if (old != known_.end() && old->second == event.entry.value) return {};
    known_.insert_or_assign(key, event.entry.value);
    return {{KeyChange::Kind::put, std::move(key), std::move(event.entry.value)}};
}

}  // namespace stator::store
