// A model of etcd on a seeded scheduler: revisions, leases, transactions and watches, and whatever
// may happen to them.
#pragma once

#include <algorithm>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "stator/runtime/timer.hpp"
#include "stator/store/etcd_store.hpp"
#include "stator/testing/seeded_scheduler.hpp"
#include "store/etcd/etcd_store_impl.hpp"
#include "store/etcd/link.hpp"
#include "tests/store/asking_wire.hpp"

namespace stator::store {

struct EtcdStoreAccess {
    static Task<std::shared_ptr<EtcdStore>> open(Loop* loop, std::shared_ptr<etcd::Link> link) {
        return EtcdStore::open_over(loop, std::move(link));
    }
    /// Writes of which it is not known whether they still come in.
    static std::size_t unanswered(const EtcdStore& store) {
        std::size_t count = 0;
        for (const auto& [lease, held] : store.impl_->leases_) count += held->unanswered.size();
        return count;
    }
};

}  // namespace stator::store

namespace stator::test {

using namespace std::chrono_literals;
namespace etcd = store::etcd;
using store::EtcdEntry;

/// One thread: that of the scheduler, on whose last loop it lives.
class ModelEtcd {
public:
    explicit ModelEtcd(stator::testing::SeededScheduler& scheduler) : scheduler_{scheduler} {
        restart(false);
    }
    ModelEtcd(const ModelEtcd&) = delete;
    ModelEtcd& operator=(const ModelEtcd&) = delete;

    etcd::Dial dial() {
        return [this](const etcd::WireOptions&) -> std::unique_ptr<etcd::Wire> {
            return std::make_unique<Member>(*this);
        };
    }

    // What goes wrong, until it is set back.
    bool down = false;
    double request_lost = 0;  ///< the part of the calls that never come in
    double answer_lost = 0;   ///< the part that is done, and nobody is told
    Duration answer_takes{};  ///< more than it takes anyway, of what is asked from now on
    /// How long keys of a lease that has run out may still be there.
    Duration slow_expiry{};

    // What somebody else does.
    void put(const std::string& key, std::string value, std::int64_t lease = 0) {
        change([&] { write(key, std::move(value), lease); });
    }
    void remove(const std::string& key) {
        change([&] { erase(key); });
    }
    void end_leases() {
        for (auto& [id, lease] : leases_) lease.ends = now();
        expire();
    }
    /// It is started again: as it is, or (wiped) as if it had never held anything.
    void restart(bool wiped) {
        break_streams();
        ++term_;
        if (!wiped && revision_ != 0) return;
        state_ = {};
        history_.clear();
        leases_.clear();
        revision_ = 1;
        compacted_ = 0;
        term_ = 2;
        if (scheduler_.random().below(2) == 0 || cluster_ == 0)
            cluster_ = scheduler_.random()() | 1U;
    }
    struct Copy {
        std::map<std::string, EtcdEntry, std::less<>> state;
        std::map<std::int64_t, std::int64_t> leases;
        std::int64_t revision = 0;
    };
    Copy copy() const {
        Copy made{.state = state_, .leases = {}, .revision = revision_};
        for (const auto& [id, lease] : leases_) made.leases.emplace(id, lease.ttl);
        return made;
    }
    /// As a copy was, whose leases live a whole time to live again; or without leases.
    void restore(const Copy& from, bool with_leases) {
        break_streams();
        state_ = from.state;
        history_.clear();
        leases_.clear();
        revision_ = from.revision;
        compacted_ = revision_;
        cluster_ = scheduler_.random()() | 1U;
        for (const auto& [id, ttl] : from.leases) {
            if (with_leases) leases_[id] = {.ttl = ttl, .ends = now() + std::chrono::seconds{ttl}};
        }
        if (with_leases) return;
        for (auto& [key, entry] : state_) entry.lease = 0;
    }
    void break_streams() {
        for (const auto& weak : std::exchange(streams_, {})) {
            if (const auto stream = weak.lock()) stream->end();
        }
    }
    void compact() {
        compacted_ = revision_;
        std::erase_if(history_, [this](const Event& event) {
            return event.revision <= compacted_;
        });
    }

    std::optional<EtcdEntry> find(const std::string& key) const {
        const auto found = state_.find(key);
        return found == state_.end() ? std::nullopt : std::optional{found->second};
    }
    bool lives(std::int64_t lease) const {
        const auto found = leases_.find(lease);
        return found != leases_.end() && now() < found->second.ends;
    }
    /// Of the latest change.
    std::int64_t revision() const { return revision_; }
    std::size_t watches() const {
        std::size_t count = 0;
        for (const auto& weak : streams_) {
            if (const auto stream = weak.lock()) count += stream->watchers.size();
        }
        return count;
    }
    /// How many times somebody has asked for a lease to live on.
    std::size_t renewals = 0;
    /// Told of what a client is about to write over or remove.
    std::function<void(const EtcdEntry& before, const std::string* value)> on_replaced;

    /// Lets leases run out, until `over`.
    Task<> live(const bool* over) {
        while (!*over) {
            co_await sleep_for(100ms);
            expire();
        }
    }

private:
    struct Lease {
        std::int64_t ttl = 0;
        TimePoint ends{};
        std::optional<TimePoint> removed{};  // its keys are
    };
    struct Event {
        std::int64_t revision = 0;
        bool removed = false;
        EtcdEntry entry;
    };
    struct Watcher {
        etcd::WatchTarget target;
        std::int64_t next = 0;
    };

    struct Stream : etcd::WatchCall, std::enable_shared_from_this<Stream> {
        Stream(ModelEtcd& model_, etcd::WatchHandlers handlers_)
            : model{model_}, handlers{std::move(handlers_)} {}
        void create(const etcd::WatchTarget& target) override {
            etcd::WatchMessage made{.header = model.header(), .id = target.id, .created = true};
            waiting.push_back(std::move(made));
            if (target.start_revision <= model.compacted_) {
                waiting.push_back(
                    {.header = model.header(),
                     .id = target.id,
                     .cancelled = true,
                     .compact_revision = model.compacted_ + 1}
                );
            } else {
                watchers.push_back({target, target.start_revision});
                catch_up();
            }
            deliver();
        }
        void drop(std::int64_t id) override {
            std::erase_if(watchers, [&](const Watcher& one) { return one.target.id == id; });
        }
        void request_progress() override {
            waiting.push_back({.header = model.header(), .id = -1});
            deliver();
        }
        void next() override {
            ++asked;
            deliver();
        }
        void cancel() noexcept override { over = true; }
        void end() {
            if (std::exchange(over, true)) return;
            model.later([self = shared_from_this()] { self->handlers.ended({14, "it broke off"}); }
            );
        }
        void catch_up() {
            for (auto& watcher : watchers) {
                const auto from = watcher.next;
                for (const auto& event : model.history_) {
                    if (event.revision < from || !covers(watcher, event.entry.key)) continue;
                    watcher.next = event.revision + 1;
                    waiting.push_back(
                        {.header = model.header(),
                         .id = watcher.target.id,
                         .changes = {{.removed = event.removed, .entry = event.entry}}}
                    );
                }
            }
        }
        static bool covers(const Watcher& watcher, const std::string& key) {
            if (watcher.target.range_end.empty()) return key == watcher.target.key;
            return key >= watcher.target.key && key < watcher.target.range_end;
        }
        void deliver() {
            if (over || asked == 0 || waiting.empty() || std::exchange(delivering, true)) return;
            model.later([self = shared_from_this()] {
                self->delivering = false;
                if (self->over) return;
                --self->asked;
                auto message = std::move(self->waiting.front());
                self->waiting.pop_front();
                self->handlers.message(std::move(message));
                self->deliver();
            });
        }
        ModelEtcd& model;
        etcd::WatchHandlers handlers;
        std::vector<Watcher> watchers;
        std::deque<etcd::WatchMessage> waiting;
        std::size_t asked = 0;
        bool delivering = false;
        bool over = false;
    };

    struct Handle : etcd::Call {
        void cancel() noexcept override {}
    };
    struct Member : AskingWire<Member> {
        explicit Member(ModelEtcd& model_) : model{model_} {}
        template <class Request, class Reply>
        Handle ask(const Request& request, const etcd::CallOptions& options, Done<Reply> done) {
            model.scheduler_.spawn(
                model.place(), model.serve(request, options.timeout, std::move(done))
            );
            return std::make_shared<ModelEtcd::Handle>();
        }
        std::shared_ptr<etcd::WatchCall> watch(
            const etcd::CallOptions&, etcd::WatchHandlers handlers
        ) override {
            auto made = std::make_shared<Stream>(model, std::move(handlers));
            if (model.down) {
                made->end();
            } else {
                model.streams_.push_back(made);
            }
            return made;
        }
        ModelEtcd& model;
    };

    /// A call, from its way in to its way back.
    template <class Request, class Done>
    Task<> serve(Request request, Duration timeout, Done done) {
        const auto begun = now();
        const auto slow = answer_takes;
        co_await sleep_for(some(5ms));
        const bool lost = scheduler_.random().unit() < request_lost;
        if (down && !lost) co_return done({.status = {14, "failed to connect"}, .reply = {}});
        if (!lost) {
            auto answer = apply(request);
            co_await sleep_for(some(5ms) + slow);
            const bool in_time = now() - begun <= timeout;
            if (scheduler_.random().unit() >= answer_lost && in_time)
                co_return done(std::move(answer));
        }
        co_await sleep_until(Deadline::at(begun + timeout));
        done({.status = {4, "deadline exceeded"}, .reply = {}});
    }

    template <class Reply>
    static etcd::Answer<Reply> no_lease() {
        return {.status = {5, "etcdserver: requested lease not found"}, .reply = {}};
    }

    etcd::Answer<store::EtcdTransactionReply> apply(const store::EtcdTransaction& request) {
        const bool holds = std::ranges::all_of(request.conditions, [this](const auto& condition) {
            return met(condition);
        });
        const auto& branch = holds ? request.then : request.otherwise;
        for (const auto& operation : branch) {
            if (operation.kind == store::EtcdOperation::Kind::put && operation.lease != 0 &&
                !lives(operation.lease))
                return no_lease<store::EtcdTransactionReply>();
        }
        store::EtcdTransactionReply reply{.succeeded = holds};
        change([&] {
            for (const auto& operation : branch) reply.results.push_back(run(operation));
        });
        reply.header = header();
        return {.status = {}, .reply = std::move(reply)};
    }
    bool met(const store::EtcdCondition& condition) const {
        using Of = store::EtcdCondition::Of;
        const auto entry = find(condition.key).value_or(EtcdEntry{});
        if (condition.of == Of::value) return entry.version != 0 && entry.value == condition.text;
        const std::int64_t value = condition.of == Of::version           ? entry.version
                                   : condition.of == Of::create_revision ? entry.create_revision
                                   : condition.of == Of::mod_revision    ? entry.mod_revision
                                                                         : entry.lease;
        return condition.is == store::EtcdCondition::Is::equal ? value == condition.number
                                                               : value > condition.number;
    }
    store::EtcdOperationReply run(const store::EtcdOperation& operation) {
        using Kind = store::EtcdOperation::Kind;
        store::EtcdOperationReply reply;
        if (operation.kind == Kind::put) {
            const auto before = find(operation.key);
            if (before && on_replaced) on_replaced(*before, &operation.value);
            write(operation.key, operation.value, operation.lease);
            return reply;
        }
        auto found = range_of(operation);
        reply.count = static_cast<std::int64_t>(found.size());
        if (operation.kind == Kind::get) {
            reply.entries = std::move(found);
            return reply;
        }
        for (const auto& entry : found) {
            if (on_replaced) on_replaced(entry, nullptr);
            erase(entry.key);
        }
        return reply;
    }
    std::vector<EtcdEntry> range_of(const store::EtcdOperation& operation) const {
        std::vector<EtcdEntry> found;
        for (auto at = state_.lower_bound(operation.key); at != state_.end(); ++at) {
            const bool inside = operation.range_end.empty() ? at->first == operation.key
                                                            : at->first < operation.range_end;
            if (!inside) break;
            found.push_back(at->second);
        }
        return found;
    }
    etcd::Answer<etcd::GrantReply> apply(const etcd::GrantRequest& request) {
        const auto id = static_cast<std::int64_t>(scheduler_.random()() >> 1U);
        leases_[id] = {.ttl = request.ttl, .ends = now() + std::chrono::seconds{request.ttl}};
        return {.status = {}, .reply = {.header = header(), .lease = id, .ttl = request.ttl}};
    }
    etcd::Answer<etcd::HeaderReply> apply(const etcd::RevokeRequest& request) {
        if (!leases_.contains(request.lease)) return no_lease<etcd::HeaderReply>();
        remove_keys_of(request.lease);
        leases_.erase(request.lease);
        return {.status = {}, .reply = {header()}};
    }
    etcd::Answer<etcd::KeepAliveReply> apply(const etcd::KeepAliveRequest& request) {
        ++renewals;
        if (!lives(request.lease)) return {.status = {}, .reply = {.header = header(), .ttl = 0}};
        auto& lease = leases_[request.lease];
        lease.ends = now() + std::chrono::seconds{lease.ttl};
        return {.status = {}, .reply = {.header = header(), .ttl = lease.ttl}};
    }
    etcd::Answer<etcd::LeaseKeysReply> apply(const etcd::LeaseKeysRequest& request) {
        if (!lives(request.lease)) return {.status = {}, .reply = {.header = header(), .ttl = -1}};
        etcd::LeaseKeysReply reply{.header = header(), .ttl = leases_[request.lease].ttl};
        for (const auto& [key, entry] : state_) {
            if (entry.lease == request.lease) reply.keys.push_back(key);
        }
        return {.status = {}, .reply = std::move(reply)};
    }
    etcd::Answer<etcd::HeaderReply> apply(const etcd::CompactRequest&) {
        compact();
        return {.status = {}, .reply = {header()}};
    }
    etcd::Answer<etcd::StatusReply> apply(const etcd::StatusRequest&) {
        return {.status = {}, .reply = {.header = header(), .version = "model", .leader = 1}};
    }
    static etcd::Answer<etcd::AuthenticateReply> apply(const etcd::AuthenticateRequest&) {
        return {.status = {9, "etcdserver: authentication is not enabled"}, .reply = {}};
    }

    /// All that is changed in one transaction has one revision.
    template <class Change>
    void change(Change changes) {
        changed_ = false;
        changes();
        if (!changed_) return;
        ++revision_;
        for (const auto& weak : streams_) {
            const auto stream = weak.lock();
            if (!stream || stream->over) continue;
            stream->catch_up();
            stream->deliver();
        }
        std::erase_if(streams_, [](const auto& weak) { return weak.expired(); });
    }
    void write(const std::string& key, std::string value, std::int64_t lease) {
        auto& entry = state_[key];
        entry.key = key;
        entry.value = std::move(value);
        entry.lease = lease;
        entry.mod_revision = revision_ + 1;
        if (++entry.version == 1) entry.create_revision = revision_ + 1;
        history_.push_back({.revision = revision_ + 1, .removed = false, .entry = entry});
        changed_ = true;
    }
    void erase(const std::string& key) {
        if (state_.erase(key) == 0) return;
        history_.push_back(
            {.revision = revision_ + 1,
             .removed = true,
             .entry = {.key = key, .mod_revision = revision_ + 1}}
        );
        changed_ = true;
    }
    void remove_keys_of(std::int64_t lease) {
        change([&] {
            std::vector<std::string> keys;
            for (const auto& [key, entry] : state_) {
                if (entry.lease == lease) keys.push_back(key);
            }
            for (const auto& key : keys) erase(key);
        });
    }
    void expire() {
        std::vector<std::int64_t> over;
        for (auto& [id, lease] : leases_) {
            if (now() < lease.ends) continue;
            if (!lease.removed) lease.removed = lease.ends + some(slow_expiry);
            if (now() >= *lease.removed) over.push_back(id);
        }
        for (const auto id : over) {
            remove_keys_of(id);
            leases_.erase(id);
        }
    }

    store::EtcdHeader header() const {
        return {.cluster_id = cluster_, .member_id = 1, .revision = revision_, .raft_term = term_};
    }
    TimePoint now() const { return scheduler_.clock().now(); }
    std::size_t place() const { return scheduler_.size() - 1; }
    Duration some(Duration most) {
        return Duration{static_cast<Duration::rep>(
            static_cast<double>(most.count()) * scheduler_.random().unit()
        )};
    }
    void later(std::move_only_function<void()> work) {
        auto run = [](Duration after, std::move_only_function<void()> what) -> Task<> {
            co_await sleep_for(after);
            what();
        };
        scheduler_.spawn(place(), run(some(5ms), std::move(work)));
    }

    stator::testing::SeededScheduler& scheduler_;
    std::map<std::string, EtcdEntry, std::less<>> state_;
    std::deque<Event> history_;
    std::map<std::int64_t, Lease> leases_;
    std::vector<std::weak_ptr<Stream>> streams_;
    std::int64_t revision_ = 0;
    std::int64_t compacted_ = 0;
    std::uint64_t cluster_ = 0;
    std::uint64_t term_ = 1;
    bool changed_ = false;
};

}  // namespace stator::test
