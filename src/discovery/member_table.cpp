#include "stator/discovery/member_table.hpp"

#include <algorithm>

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
    }
    return "unknown";
}

MemberTable::MemberTable(RoutingPolicy policy, std::uint64_t seed)
    : policy_{policy}, random_{seed} {}

void MemberTable::publish(Row& row, std::shared_ptr<const Instance> instance) {
    // The same object for the same record: readers compare pointers.
    if (*row.instance != *instance) row.instance = std::move(instance);
    row.present = true;
    row.said_draining = false;
    if (row.link != Link::healthy && row.link != Link::silent) row.link = Link::unknown;
    row.backoff.reset();
    changed_ = true;
}

void MemberTable::insert(Record record) {
    Row row{
        .instance = std::move(record.instance),
        .backoff =
            Backoff{
                BackoffPolicy{.initial = policy_.quarantine, .max = policy_.max_quarantine},
                random_()
            },
    };
    rows_.emplace(std::move(record.key), std::move(row));
    changed_ = true;
}

void MemberTable::snapshot(std::vector<Record> records, TimePoint now) {
    std::ranges::sort(records, {}, &Record::key);
    for (auto row = rows_.begin(); row != rows_.end();) {
        const auto next = std::next(row);
        if (!std::ranges::binary_search(records, row->first, {}, &Record::key)) {
            depart(row->second, now);
            if (is_over(row->second, now)) rows_.erase(row);
        }
        row = next;
    }
    for (auto& record : records) {
        const auto known = rows_.find(record.key);
        if (known == rows_.end()) {
            insert(std::move(record));
        } else if (!known->second.present || *known->second.instance != *record.instance) {
            publish(known->second, std::move(record.instance));
        }
    }
}

void MemberTable::put(Record record, TimePoint) {
    const auto known = rows_.find(record.key);
    if (known == rows_.end()) return insert(std::move(record));
    publish(known->second, std::move(record.instance));
}

void MemberTable::removed(std::string_view key, TimePoint now) {
    const auto known = rows_.find(key);
    if (known == rows_.end()) return;
    depart(known->second, now);
    if (is_over(known->second, now)) rows_.erase(known);
}

/// The record is gone. A connection that answers keeps the instance for a while: the store may have
/// lost it.
void MemberTable::depart(Row& row, TimePoint now) {
    if (!row.present) return;
    row.present = false;
    row.linger_until = now + policy_.linger;
    changed_ = true;
}

bool MemberTable::is_over(const Row& row, TimePoint now) const noexcept {
    if (row.present) return false;
    return row.link != Link::healthy || row.said_draining || row.instance->draining() ||
           row.linger_until <= now;
}

void MemberTable::quarantine(Row& row, TimePoint now) {
    row.link = Link::quarantined;
    // At least half of the step: full jitter alone would let some come back at once.
    const auto step = row.backoff.ceiling();
    row.until = now + step / 2 + row.backoff.next() / 2;
}

void MemberTable::apply(Row& row, LinkEvent event, TimePoint now) {
    if (row.link == Link::gone && event != LinkEvent::draining)
        return;  // only its record brings it back
    switch (event) {
        case LinkEvent::healthy:
            row.link = Link::healthy;
            row.backoff.reset();
            break;
        case LinkEvent::silent:
            if (row.link == Link::healthy || row.link == Link::unknown) row.link = Link::silent;
            break;
        case LinkEvent::lost:
        case LinkEvent::refused:
            // One failure seen by several connections is one failure.
            if (row.link != Link::quarantined || row.until <= now) quarantine(row, now);
            break;
        case LinkEvent::draining:
            row.said_draining = true;
            break;
        case LinkEvent::gone:
            row.link = Link::gone;
            break;
        case LinkEvent::closed:
            if (row.link == Link::healthy || row.link == Link::silent) row.link = Link::unknown;
            break;
    }
}

bool MemberTable::report(InstanceId id, LinkEvent event, TimePoint now) {
    const auto row = std::ranges::find_if(rows_, [id](const auto& entry) {
        return entry.second.instance->id == id;
    });
    if (row == rows_.end()) return false;
    const auto before = standing(row->second);
    const auto link_before = row->second.link;
    apply(row->second, event, now);
    if (is_over(row->second, now)) {
        rows_.erase(row);
        changed_ = true;
    } else if (before != standing(row->second) ||
               (link_before == Link::gone) != (row->second.link == Link::gone)) {
        changed_ = true;
    }
    return true;
}

bool MemberTable::report_address(std::string_view address, LinkEvent event, TimePoint now) {
    std::vector<InstanceId> there;
    for (const auto& [key, row] : rows_) {
        const auto& instance = *row.instance;
        const auto tcp = std::string_view{instance.transport.address}.substr(
            0, instance.transport.address.find('/')
        );
        if ((instance.mux && instance.mux->address == address) || tcp == address)
            there.push_back(instance.id);
    }
    for (const auto id : there) report(id, event, now);
    return !there.empty();
}

void MemberTable::tick(TimePoint now) {
    for (auto row = rows_.begin(); row != rows_.end();) {
        const auto next = std::next(row);
        if (!policy_.probing && row->second.link == Link::quarantined && row->second.until <= now) {
            row->second.link = Link::unknown;  // for a trial
            changed_ = true;
        }
        if (is_over(row->second, now)) {
            rows_.erase(row);
            changed_ = true;
        }
        row = next;
    }
}

TimePoint MemberTable::next_wake() const noexcept {
    auto earliest = TimePoint::max();
    for (const auto& [key, row] : rows_) {
        if (row.link == Link::quarantined) earliest = std::min(earliest, row.until);
        if (!row.present) earliest = std::min(earliest, row.linger_until);
    }
    return earliest;
}

std::vector<std::shared_ptr<const Instance>> MemberTable::take_probes(TimePoint now) {
    std::vector<std::shared_ptr<const Instance>> due;
    if (!policy_.probing) return due;
    for (auto& [key, row] : rows_) {
        if (row.link != Link::quarantined || row.until > now) continue;
        row.link = Link::probing;
        due.push_back(row.instance);
    }
    return due;
}

Standing MemberTable::standing(const Row& row) noexcept {
    if (row.said_draining || row.instance->draining()) return Standing::draining;
    switch (row.link) {
        case Link::quarantined:
        case Link::probing:
        case Link::gone:
            return Standing::quarantined;
        case Link::silent:
            return Standing::suspect;
        case Link::unknown:
        case Link::healthy:
            break;
    }
    return row.present ? Standing::ready : Standing::lingering;
}

std::shared_ptr<const InstanceSet> MemberTable::build() {
    auto set = std::make_shared<InstanceSet>();
    set->version = ++version_;
    for (const auto& [key, row] : rows_) {
        if (row.link == Link::gone) continue;
        set->members.push_back({row.instance, standing(row)});
    }
    std::ranges::sort(set->members, {}, [](const Member& member) { return member.instance->id; });
    for (const auto& member : set->members) {
        if (is_routable(member.standing)) set->routable.push_back(member.instance);
    }
    changed_ = false;
    return set;
}

}  // namespace stator::discovery
