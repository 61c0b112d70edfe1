#include "stator/discovery/member_table.hpp"

#include <algorithm>
#include <ranges>
#include <utility>

namespace stator::discovery {

std::string_view to_string(Standing standing) noexcept {
    switch (standing) {
        case Standing::ready:
            return "ready";
        case Standing::lingering:
            return "lingering";
        case Standing::suspect:
            return "suspect";
        case Standing::quarantined:
            return "quarantined";
        case Standing::draining:
            return "draining";
        case Standing::refusing:
            return "refusing";
        case Standing::full:
            return "full";
    }
    return "unknown";
}

std::string_view to_string(LinkEvent event) noexcept {
    switch (event) {
        case LinkEvent::healthy:
            return "healthy";
        case LinkEvent::silent:
            return "silent";
        case LinkEvent::lost:
            return "lost";
        case LinkEvent::refused:
            return "refused";
        case LinkEvent::draining:
            return "draining";
        case LinkEvent::gone:
            return "gone";
        case LinkEvent::closed:
            return "closed";
        case LinkEvent::refusing:
            return "refusing";
        case LinkEvent::full:
            return "full";
    }
    return "unknown";
}

MemberTable::MemberTable(RoutingPolicy policy, std::uint64_t seed)
    : policy_{policy}, random_{seed} {}

Standing MemberTable::standing(const Row& row) noexcept {
    if (row.said_draining || row.instance->draining()) return Standing::draining;
    switch (row.link) {
        case Link::silent:
            return Standing::suspect;
        case Link::quarantined:
        case Link::probing:
        case Link::gone:
            return Standing::quarantined;
        case Link::unknown:
        case Link::healthy:
            break;
    }
    if (row.aside != Standing::ready) return row.aside;
    return row.present ? Standing::ready : Standing::lingering;
}

void MemberTable::insert(Record record) {
    rows_.emplace(
        std::move(record.key),
        Row{.instance = std::move(record.instance),
            .backoff =
                Backoff{
                    BackoffPolicy{
                        .initial = policy_.quarantine, .max = policy_.max_quarantine, .factor = 2.0
                    },
                    random_()
                }}
    );
    changed_ = true;
}

/// The record was written by a living owner: what was held against the instance is forgotten.
void MemberTable::publish(Row& row, std::shared_ptr<const Instance> instance) {
    if (*row.instance != *instance) row.instance = std::move(instance);
    row.present = true;
    row.said_draining = false;
    row.aside = Standing::ready;
    if (row.link == Link::quarantined || row.link == Link::probing || row.link == Link::gone) {
        row.link = Link::unknown;
        row.backoff.reset();
    }
    changed_ = true;
}

void MemberTable::put(Record record) {
    const auto row = rows_.find(record.key);
    if (row == rows_.end()) return insert(std::move(record));
    publish(row->second, std::move(record.instance));
}

void MemberTable::snapshot(std::vector<Record> records, TimePoint now) {
    changed_ = changed_ || version_ == 0;  // that there is nobody is news, too
    std::ranges::sort(records, {}, &Record::key);
    for (auto at = rows_.begin(); at != rows_.end();) {
        const bool there = std::ranges::binary_search(records, at->first, {}, &Record::key);
        at = there || !depart(at->second, now) ? std::next(at) : rows_.erase(at);
    }
    for (auto& record : records) {
        const auto row = rows_.find(record.key);
        if (row == rows_.end()) {
            insert(std::move(record));
        } else if (!row->second.present || *row->second.instance != *record.instance) {
            publish(row->second, std::move(record.instance));
        }
    }
}

void MemberTable::removed(std::string_view key, TimePoint now) {
    const auto row = rows_.find(key);
    if (row != rows_.end() && depart(row->second, now)) rows_.erase(row);
}

/// Gone from the store. True if that is its end.
bool MemberTable::depart(Row& row, TimePoint now) {
    if (!row.present) return false;  // lingers already
    changed_ = true;
    row.present = false;
    row.linger_until = now + policy_.linger;
    return !may_linger(row);
}

bool MemberTable::may_linger(const Row& row) noexcept {
    return row.link == Link::healthy && row.instance->mux && !row.said_draining &&
           !row.instance->draining();
}

bool MemberTable::report(InstanceId id, LinkEvent event, TimePoint now) {
    return report_where([id](const Instance& instance) { return instance.id == id; }, event, now);
}

bool MemberTable::report_address(std::string_view address, LinkEvent event, TimePoint now) {
    return report_where(
        [address](const Instance& instance) {
            return instance.mux ? instance.mux->address == address
                                : instance.transport.host_port() == address;
        },
        event,
        now
    );
}

template <class Matches>
bool MemberTable::report_where(Matches matches, LinkEvent event, TimePoint now) {
    bool found = false;
    for (auto at = rows_.begin(); at != rows_.end();) {
        Row& row = at->second;
        if (!matches(*row.instance)) {
            ++at;
            continue;
        }
        found = true;
        const auto before = standing(row);
        apply(row, event, now);
        const bool out = !row.present && !may_linger(row);
        changed_ = changed_ || out || standing(row) != before;
        at = out ? rows_.erase(at) : std::next(at);
    }
    return found;
}

void MemberTable::apply(Row& row, LinkEvent event, TimePoint now) {
    switch (event) {
        case LinkEvent::healthy:
            // A connection proves the process, not that this instance still lives in it.
            if (row.link == Link::gone) return;
            row.link = Link::healthy;
            row.backoff.reset();
            return;
        case LinkEvent::silent:
            if (row.link == Link::healthy || row.link == Link::unknown) row.link = Link::silent;
            return;
        case LinkEvent::lost:
        case LinkEvent::refused:
            return quarantine(row, now);
        case LinkEvent::draining:
            row.said_draining = true;
            return;
        case LinkEvent::gone:
            row.link = Link::gone;
            return;
        case LinkEvent::closed:
            if (row.link == Link::healthy || row.link == Link::silent) row.link = Link::unknown;
            return;
        case LinkEvent::refusing:
            return put_aside(row, Standing::refusing, now + policy_.put_aside);
        case LinkEvent::full:
            return put_aside(row, Standing::full, now + policy_.put_aside_full);
    }
}

void MemberTable::put_aside(Row& row, Standing standing, TimePoint until) noexcept {
    if (row.aside == Standing::refusing && until < row.aside_until) return;
    row.aside = standing;
    row.aside_until = until;
}

void MemberTable::quarantine(Row& row, TimePoint now) {
    // Several connections to one process are lost at once: that is one failure.
    if (row.link == Link::gone || (row.link == Link::quarantined && now < row.until)) return;
    row.link = Link::quarantined;
    // Not the full jitter: a quarantine of no time would be none.
    row.until = now + row.backoff.next(0.5 + random_.unit() / 2);
}

void MemberTable::tick(TimePoint now) {
    for (auto at = rows_.begin(); at != rows_.end();) {
        Row& row = at->second;
        if (!policy_.probing && row.link == Link::quarantined && row.until <= now) {
            row.link = Link::unknown;
            changed_ = true;
        }
        if (row.aside != Standing::ready && row.aside_until <= now) {
            row.aside = Standing::ready;
            changed_ = true;
        }
        const bool over = !row.present && row.linger_until <= now;
        changed_ = changed_ || over;
        at = over ? rows_.erase(at) : std::next(at);
    }
}

TimePoint MemberTable::next_wake() const noexcept {
    auto next = TimePoint::max();
    for (const auto& [key, row] : rows_) {
        if (row.link == Link::quarantined) next = std::min(next, row.until);
        if (row.aside != Standing::ready) next = std::min(next, row.aside_until);
        if (!row.present) next = std::min(next, row.linger_until);
    }
    return next;
}

std::vector<std::shared_ptr<const Instance>> MemberTable::take_probes(TimePoint now) {
    std::vector<std::shared_ptr<const Instance>> due;
    if (!policy_.probing) return due;
    for (auto& row : std::views::values(rows_)) {
        if (row.link != Link::quarantined || row.until > now) continue;
        row.link = Link::probing;
        due.push_back(row.instance);
    }
    return due;
}

std::shared_ptr<const InstanceSet> MemberTable::build() {
    // Ids beside the pointers: sorting thousands of rows must not chase each of them.
    std::vector<std::pair<InstanceId, const Row*>> order;
    order.reserve(rows_.size());
    for (const auto& row : std::views::values(rows_)) order.emplace_back(row.instance->id, &row);
    std::ranges::sort(order, {}, &std::pair<InstanceId, const Row*>::first);
    auto set = std::make_shared<InstanceSet>();
    set->version = ++version_;
    set->members.reserve(order.size());
    set->routable.reserve(order.size());
    for (const auto& [id, row] : order) {
        const auto now_standing = standing(*row);
        set->members.push_back(Member{row->instance, now_standing});
        if (is_routable(now_standing)) set->routable.push_back(row->instance);
    }
    changed_ = false;
    return set;
}

}  // namespace stator::discovery
