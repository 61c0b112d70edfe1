// MemberTable: which instances of an endpoint may be given requests. Pure: no clock, no I/O.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "stator/base/backoff.hpp"
#include "stator/base/clock.hpp"
#include "stator/discovery/instance_set.hpp"
#include "stator/discovery/link_event.hpp"

namespace stator::discovery {

struct RoutingPolicy {
    /// How long an instance that left the store stays routable while its connection answers.
    Duration linger = std::chrono::seconds{10};
    /// The first time out of routing after a lost connection or a failed dial; it doubles, with
    /// jitter, up to the maximum.
    Duration quarantine = std::chrono::milliseconds{500};
    Duration max_quarantine = std::chrono::seconds{30};
    /// Out of routing after a refusal; the next request is the trial.
    Duration put_aside = std::chrono::seconds{5};
    Duration put_aside_full = std::chrono::milliseconds{250};
    /// True: a quarantined instance comes back only after a successful probe. False: it comes back
    /// for a trial.
    bool probing = false;
};

/// Joins what the store says (records) with what the transport says (links). The rules:
///
/// 1. In the store and nothing bad known: ready. Said draining, in its record or on its connection:
///    draining, until its record is published again without it.
/// 2. Lost or refused: quarantined. It comes back when a connection is made (`healthy`), when its
///    record is published again (put; a snapshot with the same record proves nothing), or when the
///    quarantine ends (by a probe, with `probing`; a failed one begins the next). Failures within a
///    quarantine count once; each quarantine is twice as long as the one before, until a healthy
///    link or a new record.
/// 3. Silent: suspect, until healthy again; lost ends that, too.
/// 4. Gone from the store: with a healthy link lingering, for `policy.linger`; anything else: out.
///    Published again meanwhile: as if never gone. Only the mux proves a link healthy: without one,
///    nothing lingers.
/// 5. `gone`: out, until its record is published again.
/// 6. Refusing or full: out for a fixed while, whatever its link says, or until its record is
///    published again. (The original's routers leave an instance alone for 5 s and 1 s.)
///
/// One owner at a time. Time goes in as an argument and must not go backwards.
class MemberTable {
public:
    explicit MemberTable(RoutingPolicy policy, std::uint64_t seed);

    struct Record {
        std::string key;
        std::shared_ptr<const Instance> instance;
    };
    void snapshot(std::vector<Record> records, TimePoint now);
    void put(Record record);
    void removed(std::string_view key, TimePoint now);

    /// False when no instance of that id is known.
    bool report(InstanceId id, LinkEvent event, TimePoint now);
    /// All instances whose mux or tcp address (without the path) is `address`.
    bool report_address(std::string_view address, LinkEvent event, TimePoint now);
    /// Lets quarantines and lingering end.
    void tick(TimePoint now);

    /// When `tick` or `take_probes` has something to do; TimePoint::max() for never.
    TimePoint next_wake() const noexcept;
    /// Quarantined instances whose time is over, each once: report what became of the dial
    /// (healthy, refused). Empty without `probing`.
    std::vector<std::shared_ptr<const Instance>> take_probes(TimePoint now);

    /// Whether `build` would yield something else than the last time; not before the first
    /// snapshot.
    bool changed() const noexcept { return changed_; }
    std::shared_ptr<const InstanceSet> build();

private:
    enum class Link : std::uint8_t { unknown, healthy, silent, quarantined, probing, gone };
    struct Row {
        std::shared_ptr<const Instance> instance;
        Link link = Link::unknown;
        bool present = true;
        bool said_draining = false;
        TimePoint until{};                 // end of the quarantine
        Standing aside = Standing::ready;  // refusing or full, until:
        TimePoint aside_until{};
        TimePoint linger_until{};
        Backoff backoff;
    };
    using Rows = std::map<std::string, Row, std::less<>>;

    void insert(Record record);
    void publish(Row& row, std::shared_ptr<const Instance> instance);
    bool depart(Row& row, TimePoint now);
    static bool may_linger(const Row& row) noexcept;
    template <class Matches>
    bool report_where(Matches matches, LinkEvent event, TimePoint now);
    void apply(Row& row, LinkEvent event, TimePoint now);
    void quarantine(Row& row, TimePoint now);
    static void put_aside(Row& row, Standing standing, TimePoint until) noexcept;
    static Standing standing(const Row& row) noexcept;

    RoutingPolicy policy_;
    Random random_;
    Rows rows_;
    std::uint64_t version_ = 0;
    bool changed_ = false;
};

}  // namespace stator::discovery
