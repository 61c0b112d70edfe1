// Registration over the real store of etcd, against a model of etcd to which everything happens.
#include <array>
#include <cstdlib>
#include <functional>
#include <set>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "stator/base/random.hpp"
#include "stator/base/sink.hpp"
#include "stator/discovery/discovery.hpp"
#include "stator/runtime/combinators.hpp"
#include "tests/store/model_etcd.hpp"

namespace stator::discovery {
namespace {

using namespace std::chrono_literals;
using State = RegistrationState;
using stator::testing::for_each_seed;
using stator::testing::SeededScheduler;
using test::ModelEtcd;

constexpr auto instance_key = "v1/instances/ns/comp/ep/1";
constexpr auto model_key = "v1/mdc/ns/comp/ep/1";
constexpr std::size_t application = 1;

Instance instance() {
    return Instance{
        .endpoint = {"ns", "comp", "ep"},
        .id = InstanceId{1},
        .transport = {TransportKind::tcp, "127.0.0.1:1000/x"},
        .device_type = std::nullopt,
        .request_plane_codec = PayloadCodec::msgpack,
        .mux = MuxAddress{.address = "127.0.0.1:1000", .epoch = 0xabc},
    };
}

ModelRecord model() { return {instance().endpoint, instance().id, R"({"display_name":"m"})"}; }

/// The same id, published by another process.
std::string others() {
    auto other = instance();
    other.mux->epoch = 0xdef;
    return to_record(other).value();
}

void require(bool holds, std::string_view what) {
    if (!holds) throw Error{ErrorCode::internal, std::string{what}};
}

/// Outages are all there is here: nobody wants to read of them.
class Silence : public Sink {
public:
    Silence() { set_sink(this); }
    Silence(const Silence&) = delete;
    Silence& operator=(const Silence&) = delete;
    ~Silence() override { set_sink(nullptr); }
    void report(
        Severity, std::string_view, std::string_view, std::source_location
    ) noexcept override {}
    void count(std::string_view, std::uint64_t) noexcept override {}
    void gauge(std::string_view, double) noexcept override {}
};

/// One process that publishes an instance with a model.
struct Worker {
    std::shared_ptr<store::EtcdStore> store;
    store::Lease lease;
    std::shared_ptr<Discovery> discovery;
    Registration registration;
};

class World {
public:
    explicit World(std::uint64_t seed) : scheduler{seed, 3}, etcd{scheduler} {
        thread_random() = Random{seed};  // of pauses
        etcd.on_replaced = [this](const store::EtcdEntry& before, const std::string*) {
            if (before.value == others()) stolen = true;
        };
    }

    Task<Worker> join() {
        store::EtcdOptions options;
        options.endpoints = {"http://127.0.0.1:1"};
        options.lease_ttl = 10s;
        options.call_timeout = 2s;
        Worker worker;
        auto link = std::make_shared<store::etcd::Link>(std::move(options), etcd.dial());
        Loop& loop = scheduler.loop(0);
        worker.store = co_await on_loop(loop, store::EtcdStoreAccess::open(&loop, std::move(link)));
        worker.lease = co_await worker.store->grant_lease({});
        worker.discovery = std::make_shared<Discovery>(worker.store);
        worker.registration = worker.discovery->prepare(instance(), {model()}, worker.lease);
        co_return worker;
    }
    /// What is in the store of ours; 2 if all is.
    int present() const {
        int count = 0;
        for (const auto* key : {instance_key, model_key}) {
            const auto entry = etcd.find(key);
            if (entry && entry->value != others()) count += 1;
        }
        return count;
    }
    /// Under a lease that lives and is the worker's.
    Task<> require_kept(Worker worker) {
        const auto id = co_await worker.store->server_lease(worker.lease);
        require(etcd.lives(id), "the lease is not alive");
        for (const auto* key : {instance_key, model_key}) {
            const auto entry = etcd.find(key);
            require(entry.has_value(), fmt::format("{} is not there", key));
            require(entry->lease == id, fmt::format("{} hangs on another lease", key));
            require(entry->value != others(), fmt::format("{} is another's", key));
        }
    }

    const Silence silence;
    SeededScheduler scheduler;
    ModelEtcd etcd;
    bool stolen = false;
    bool over = false;
};

Task<> leave(Worker worker) {
    co_await worker.discovery->close();
    co_await worker.store->close(Deadline::in(5s));
}

/// What `body` does with a worker; the worker and the tasks of its scope end in any case.
using Body = std::function<Task<>(World*, Worker*, TaskScope*)>;

Task<> with_worker(World* world, Body body) {
    auto worker = co_await world->join();
    TaskScope scope{co_await current_token()};
    auto outcome = co_await as_result(body(world, &worker, &scope));
    scope.cancel();
    const auto others = co_await as_result(scope.join());
    if (outcome && !others && others.error().code() != ErrorCode::cancelled) outcome = others;
    co_await scope.close();
    co_await leave(std::move(worker));
    world->over = true;
    if (!outcome) throw outcome.error();
}

void for_worlds(std::uint64_t seeds, const Body& body) {
    for_each_seed(seeds, [&](std::uint64_t seed) {
        World world{seed};
        world.scheduler.spawn(2, world.etcd.live(&world.over));
        world.scheduler.spawn(application, with_worker(&world, body));
        world.scheduler.run_to_end(5'000'000);
        require(!world.stolen, "what another holds was written over or removed");
    });
}

// --- what must happen soon

/// Publishes, lets `happen` happen, and looks whether all is there in time.
void expect_recovery(Duration limit, std::function<void(World&)> happen) {
    const auto body = [limit, happen](World* world, Worker* worker, TaskScope*) -> Task<> {
        return [](World* of, Worker* its, Duration within, std::function<void(World&)> trouble
               ) -> Task<> {
            co_await its->registration.publish();
            co_await sleep_for(500ms);
            co_await of->require_kept(*its);
            trouble(*of);
            co_await sleep_for(within);
            co_await of->require_kept(*its);
            require(its->registration.state() == State::registered, "not registered again");
        }(world, worker, limit, happen);
    };
    EXPECT_NO_THROW(for_worlds(100, body));
}

// The lease is renewed after 5 s: none of these waits for that.

TEST(RegistrationSimulation, ARecordThatSomebodyRemovesIsThereAgainAtOnce) {
    expect_recovery(200ms, [](World& world) { world.etcd.remove(instance_key); });
}

TEST(RegistrationSimulation, ALeaseThatEndsIsReplacedAtOnce) {
    expect_recovery(300ms, [](World& world) { world.etcd.end_leases(); });
}

TEST(RegistrationSimulation, AWipedStoreIsFilledAgainSoon) {
    expect_recovery(3s, [](World& world) { world.etcd.restart(true); });
}

TEST(RegistrationSimulation, EverythingBeingRemovedIsFilledAgainAtOnce) {
    expect_recovery(300ms, [](World& world) {
        world.etcd.remove(instance_key);
        world.etcd.remove(model_key);
        world.etcd.remove("v1/x_stator/store_id");
    });
}

TEST(RegistrationSimulation, ARestoredCopyIsFilledAgainSoon) {
    for (const bool with_leases : {false, true}) {
        expect_recovery(3s, [with_leases](World& world) {
            const auto copy = world.etcd.copy();
            world.etcd.put("v1/other", "later");
            world.etcd.restore(copy, with_leases);
        });
    }
}

TEST(RegistrationSimulation, AKeyUnderTheOldLeaseIsTakenOver) {
    expect_recovery(300ms, [](World& world) {
        world.etcd.slow_expiry = 60s;  // the keys outlive the lease
        world.etcd.end_leases();
        world.etcd.put("v1/instances/ns/comp/ep/1", to_record(instance()).value());
    });
}

Task<> be_replaced(World* world, Worker* worker, TaskScope*) {
    const auto registration = worker->registration;
    co_await registration.publish();
    auto changed = registration.wait_for_change(State::registered);
    world->etcd.put(instance_key, others());
    require(co_await std::move(changed) == State::recovering, "not told");
    co_await sleep_for(20s);  // renewals do not take it either
    require(world->etcd.find(instance_key)->value == others(), "taken from its new owner");
    require(registration.state() == State::recovering, "it is not there");
    world->etcd.remove(instance_key);
    co_await sleep_for(200ms);
    co_await world->require_kept(*worker);
    require(registration.state() == State::registered, "not registered again");
    world->etcd.put(instance_key, others());
    co_await sleep_for(200ms);
    require(co_await registration.unpublish(Deadline::in(5s)), "not confirmed");
    require(registration.state() == State::gone, "not gone");
    require(world->etcd.find(instance_key)->value == others(), "removed from its new owner");
}

TEST(RegistrationSimulation, WhatAnotherProcessHasTakenStaysTheirsUntilTheyLetGo) {
    EXPECT_NO_THROW(for_worlds(100, be_replaced));
}

Task<> update_what_is_lost(World* world, Worker* worker, TaskScope*) {
    const auto registration = worker->registration;
    co_await registration.publish();
    world->etcd.put(instance_key, others());
    auto changed = instance();
    changed.transport.address = "127.0.0.1:2000/x";
    for (int i = 0; i < 2; ++i) {  // before we know of it, and when we do
        const auto updated = co_await as_result(registration.update(changed));
        require(!updated && updated.error().detail() == "registration.exists", "updated");
        require(world->etcd.find(instance_key)->value == others(), "taken from its new owner");
        require(*registration.instance() == instance(), "changed all the same");
        co_await sleep_for(200ms);
    }
    world->etcd.remove(instance_key);
    co_await sleep_for(200ms);
    co_await registration.update(changed);
    co_await world->require_kept(*worker);
    require(world->etcd.find(instance_key)->value == to_record(changed).value(), "not updated");
    world->etcd.end_leases();
    co_await sleep_for(300ms);
    require(world->etcd.find(instance_key)->value == to_record(changed).value(), "not kept");
}

TEST(RegistrationSimulation, AnUpdateWritesOverNothingOfAnothers) {
    EXPECT_NO_THROW(for_worlds(100, update_what_is_lost));
}

Task<> withdraw_and_return(World* world, Worker* worker, TaskScope*) {
    const auto registration = worker->registration;
    co_await registration.publish();
    world->etcd.down = true;
    require(!co_await registration.unpublish(Deadline::in(300ms)), "confirmed by nobody");
    require(registration.state() == State::gone, "not gone");
    world->etcd.down = false;
    // Both are still there, under the lease: they are taken over, not found in the way.
    auto again = worker->discovery->prepare(instance(), {model()}, worker->lease);
    co_await again.publish();
    require(again.state() == State::registered, "not registered");
    co_await world->require_kept(*worker);
    require(co_await again.unpublish(Deadline::in(5s)), "not confirmed");
    require(world->present() == 0, "something is left");
}

TEST(RegistrationSimulation, WhatCouldNotBeTakenBackIsPublishedAgain) {
    EXPECT_NO_THROW(for_worlds(100, withdraw_and_return));
}

// --- what may happen in any order

const std::set<std::pair<State, State>>& known_changes() {
    // As somebody sees them who may miss some in between.
    static const std::set<std::pair<State, State>> changes = [] {
        std::set<std::pair<State, State>> all;
        constexpr std::array order{
            State::unregistered, State::registering, State::registered, State::draining, State::gone
        };
        for (std::size_t i = 0; i < order.size(); ++i) {
            for (std::size_t j = i + 1; j < order.size(); ++j) all.emplace(order[i], order[j]);
        }
        for (const auto state : {State::unregistered, State::registering, State::registered})
            all.emplace(state, State::recovering);
        for (const auto state : {State::registered, State::draining, State::gone})
            all.emplace(State::recovering, state);
        return all;
    }();
    return changes;
}

Task<> follow(Registration registration) {
    auto state = registration.state();
    while (state != State::gone) {
        const auto next = co_await registration.wait_for_change(state);
        require(
            known_changes().contains({state, next}),
            fmt::format("{} -> {}", to_string(state), to_string(next))
        );
        state = next;
    }
}

struct Fate {
    bool faults = false;
    bool withdraw = false;
    bool cancel_publish = false;
    bool cancel_withdraw = false;
    bool another = false;
    bool lease_ends = false;
};

Duration some(World* world, Duration most) {
    const auto part = world->scheduler.random().unit();
    return Duration{static_cast<Duration::rep>(static_cast<double>(most.count()) * part)};
}

Task<> lose_calls(World* world, double ModelEtcd::* part) {
    world->etcd.*part = 0.5;
    co_await sleep_for(some(world, 10s));
    world->etcd.*part = 0;
}

Task<> be_away(World* world) {
    world->etcd.down = true;
    world->etcd.break_streams();
    co_await sleep_for(some(world, world->scheduler.random().below(2) == 0 ? 3s : 25s));
    world->etcd.down = false;
}

Task<> end_leases_slowly(World* world) {
    world->etcd.slow_expiry = 4s;
    world->etcd.end_leases();
    co_await sleep_for(some(world, 6s));
    world->etcd.slow_expiry = {};
}

Task<> restore_a_copy(World* world, Registration registration) {
    const auto copy = world->etcd.copy();
    co_await sleep_for(some(world, 8s));
    // What is restored of what has been taken back nobody could know.
    const auto state = registration.state();
    if (state == State::registered || state == State::recovering)
        world->etcd.restore(copy, world->scheduler.random().below(2) == 0);
}

/// One thing that goes wrong, and in the end is well again.
Task<> trouble(World* world, Registration registration) {
    auto& etcd = world->etcd;
    auto& random = world->scheduler.random();
    switch (random.below(12)) {
        case 0:
            co_return co_await be_away(world);
        case 1:
            co_return co_await lose_calls(world, &ModelEtcd::request_lost);
        case 2:
            co_return co_await lose_calls(world, &ModelEtcd::answer_lost);
        case 3:
            etcd.break_streams();
            break;
        case 4:
            etcd.end_leases();
            break;
        case 5:
            co_return co_await end_leases_slowly(world);
        case 6:
            etcd.remove(random.below(2) == 0 ? instance_key : model_key);
            break;
        case 7:
            etcd.restart(true);
            break;
        case 8:
            co_return co_await restore_a_copy(world, registration);
        case 9:
            etcd.break_streams();
            etcd.compact();
            break;
        case 10:
            etcd.restart(false);
            break;
        default:
            etcd.remove("v1/x_stator/store_id");
            break;
    }
}

Task<> troubles(World* world, Registration registration, Fate fate) {
    auto& random = world->scheduler.random();
    for (auto count = random.below(6); count > 0; --count) {
        co_await sleep_for(std::chrono::milliseconds{random.below(3000)});
        if (fate.another && random.below(3) == 0) {
            world->etcd.put(instance_key, others());
            co_await sleep_for(std::chrono::milliseconds{random.below(9000)});
            world->etcd.remove(instance_key);
        } else {
            co_await trouble(world, registration);
        }
    }
}

Fate draw(Random& random) {
    return {
        .faults = random.below(5) != 0,
        .withdraw = random.below(2) == 0,
        .cancel_publish = random.below(4) == 0,
        .cancel_withdraw = random.below(3) == 0,
        .another = random.below(3) == 0,
        .lease_ends = random.below(6) == 0,
    };
}

Task<> cancel_after(CancellationToken token, Duration delay) {
    co_await sleep_for(delay);
    token.cancel();
}

struct Withdrawal {
    Duration after{};
    Duration limit{};
    CancellationToken given_up = CancellationToken::make();
    bool begun = false;
};

Task<> withdraw(Registration registration, std::shared_ptr<Withdrawal> how) {
    co_await sleep_for(how->after);
    if (how->given_up.cancelled()) co_return;
    how->begun = true;
    (void
    )co_await as_result(with_token(how->given_up, registration.unpublish(Deadline::in(how->limit)))
    );
}

/// Publishes, perhaps not to the end; false if that failed.
Task<bool> publish(World* world, Registration registration, Fate fate, TaskScope* scope) {
    const auto give_up = CancellationToken::make();
    if (fate.cancel_publish) {
        const auto delay = std::chrono::milliseconds{world->scheduler.random().below(30)};
        scope->spawn(cancel_after(give_up, delay));
    }
    const auto published = co_await as_result(with_token(give_up, registration.publish()));
    const bool expected = !fate.faults && !fate.withdraw && !fate.cancel_publish;
    require(published.has_value() || !expected, "not published, and nothing had happened");
    if (published) co_return true;
    require(registration.state() == State::gone, "failed, and not gone");
    co_return false;
}

/// One life of a registration, with all that the seed has in store for it.
Task<> live_one(World* world, Worker* worker, TaskScope* scope) {
    auto& random = world->scheduler.random();
    const auto fate = draw(random);
    const auto registration = worker->registration;
    scope->spawn(follow(registration));
    if (fate.faults) scope->spawn(troubles(world, registration, fate));
    const auto withdrawal = std::make_shared<Withdrawal>();
    withdrawal->after = std::chrono::milliseconds{random.below(random.below(2) == 0 ? 20 : 9000)};
    withdrawal->limit = std::chrono::milliseconds{random.below(4000)};
    if (fate.withdraw) scope->spawn(withdraw(registration, withdrawal));
    if (fate.withdraw && fate.cancel_withdraw) {
        const std::chrono::milliseconds delay{random.below(9000)};
        scope->spawn(cancel_after(withdrawal->given_up, delay));
    }
    const bool published = co_await publish(world, registration, fate, scope);
    if (fate.lease_ends) scope->spawn(cancel_after(worker->lease.token(), 5s));
    // `follow` ends with the registration, the others by themselves.
    while (scope->size() > (registration.state() == State::gone ? 0U : 1U))
        co_await sleep_for(100ms);
    co_await sleep_for(25s);  // more than the lease, the pauses and the quiet of a stream
    if (published && !withdrawal->begun && !fate.lease_ends) {
        require(registration.state() == State::registered, "not registered in the end");
        co_await world->require_kept(*worker);
    } else {
        require(registration.state() == State::gone, "not gone in the end");
        require(world->present() == 0, "what was taken back has come again");
    }
}

TEST(RegistrationSimulation, WhateverHappensItEndsWhereItShould) {
    const bool long_run = std::getenv("STATOR_SOAK") != nullptr;
    EXPECT_NO_THROW(for_worlds(long_run ? 100'000 : 4000, live_one));
}

}  // namespace
}  // namespace stator::discovery
