// Locks, elections and barriers on the memory store, in interleavings that a seed gives, with
// parties that lose the store, give up and die.
#include <gtest/gtest.h>

#include "stator/runtime/combinators.hpp"
#include "stator/runtime/timer.hpp"
#include "stator/runtime/token_wait.hpp"
#include "stator/store/election.hpp"
#include "stator/store/group_barrier.hpp"
#include "stator/store/kv_cache.hpp"
#include "stator/store/memory_store.hpp"
#include "stator/store/typed_watch.hpp"
#include "stator/testing/seeded_scheduler.hpp"
#include "tests/store/lock_holders.hpp"
#include "tests/store/store_fixture.hpp"
#include "tests/support/iterations.hpp"

namespace stator::store {
namespace {

using test::Holders;
using test::RecordingSink;
using test::require;
using testing::for_each_seed;
using testing::SeededScheduler;
using namespace std::chrono_literals;
using Party = std::shared_ptr<MemoryStore>;

constexpr Duration ttl = 10s;
constexpr std::size_t loops = 3;

/// Parties of one store, each on a loop of the scheduler's.
std::vector<Party> parties(SeededScheduler& scheduler, std::size_t count) {
    static int places = 0;
    const auto name = "simulated " + std::to_string(++places);
    std::vector<Party> all;
    for (std::size_t i = 0; i < count; ++i)
        all.push_back(MemoryStore::open(scheduler.loop(i % loops), {.name = name, .ttl = ttl}));
    return all;
}

/// Runs `work`, then closes the parties: their keep-alives would go on for ever.
Task<> and_close(Task<> work, std::vector<Party> all) {
    const auto ended = co_await as_result(std::move(work));
    for (const auto& party : all) {
        party->simulate_outage(false);
        co_await party->close(Deadline::in(ttl));
    }
    if (!ended) throw ended.error();
}

Duration up_to(Random* dice, Duration most) {
    return Duration{
        static_cast<Duration::rep>(dice->below(static_cast<std::uint64_t>(most.count()) + 1))
    };
}

Task<> lose_the_store_for(Party party, Duration time) {
    party->simulate_outage(true);
    co_await sleep_for(time);
    party->simulate_outage(false);
}

/// Takes the lock three times, whatever comes in between; of so many in ten to share it.
Task<> contend(Party party, Holders* holders, Random* dice, std::uint64_t sharing) {
    for (int turns = 0; turns < 3;) {
        const auto patience = dice->below(3) == 0 ? up_to(dice, ttl) : Duration::max();
        const auto mode = dice->below(10) < sharing ? LockMode::shared : LockMode::exclusive;
        auto lock = co_await as_result(
            with_deadline(Deadline::in(patience), Lock::acquire(party, "l", {.mode = mode}))
        );
        if (!lock) {
            if (lock.error().code() == ErrorCode::unavailable) co_await sleep_for(1s);
            continue;
        }
        const auto place = holders->enter(std::move(*lock));
        if (dice->below(3) == 0)
            co_await lose_the_store_for(party, up_to(dice, 2 * ttl));
        else
            co_await sleep_for(up_to(dice, 2s));
        auto mine = holders->leave(place);
        if (dice->below(2) == 0) co_await mine.release();
        ++turns;
    }
}

/// How often a party came in where others were who share the lock.
std::size_t struggle(std::uint64_t seed, std::size_t contenders, std::uint64_t sharing) {
    SeededScheduler scheduler{seed, loops};
    auto all = parties(scheduler, contenders);
    Holders holders;
    std::vector<Task<>> tasks;
    for (const auto& party : all)
        tasks.push_back(contend(party, &holders, &scheduler.random(), sharing));
    auto work = [](std::vector<Task<>> many) -> Task<> { co_await when_all(std::move(many)); };
    scheduler.spawn(0, and_close(work(std::move(tasks)), all));
    scheduler.run_to_end();
    require(holders.overlaps == 0, "two held the lock at a time");
    require(holders.out_of_order == 0, "a fencing token was smaller than one before");
    return holders.shared;
}

TEST(LockSimulation, TwoHoldersNeverOverlapAndEverybodyGetsTheirTurns) {
    RecordingSink sink;
    for_each_seed(300, [](std::uint64_t seed) {
        require(struggle(seed, 4, 0) == 0, "nobody shares it");
    });
}

TEST(SharedLockSimulation, OnlyThoseWhoShareItOverlapAndNobodyIsPassed) {
    RecordingSink sink;
    const auto seeds = test::iterations(2000);
    std::size_t shared = 0;
    for_each_seed(seeds, [&](std::uint64_t seed) { shared += struggle(seed, 6, 6); });
    EXPECT_GT(shared, seeds / 20);
}

Task<> until_cancelled(CancellationToken token) { co_await token.wait(); }

/// When the lock can be had: after whom it is asked for here is in already.
Task<TimePoint> next_entry(Party party) {
    const auto lock = co_await Lock::acquire(party, "l");
    co_return Clock::current().now();
}

/// Loses the lock by time; the store is back in the same moment.
Task<> lose_by_time(Party party, const Lock* lock) {
    party->simulate_outage(true);
    co_await until_cancelled(lock->token());
    party->simulate_outage(false);
}

Task<> lost_by_time(Party holder, Party next, Random* dice) {
    const auto lock = co_await Lock::acquire(holder, "l");
    auto lose = [](Party party, const Lock* of, Duration after) -> Task<TimePoint> {
        co_await sleep_for(after);
        co_await lose_by_time(party, of);
        co_return Clock::current().now();
    };
    const auto [lost, entered] =
        co_await when_all(lose(holder, &lock, up_to(dice, 2 * ttl)), next_entry(next));
    require(lock.token().reason() == CancelReason::peer_gone, "the lock is lost");
    require(entered - lost >= ttl / 10, "the next one was in before the holder could have stopped");
    require(entered - lost < ttl / 10 + 100ms, "nobody waits for longer");
}

TEST(LockSimulation, WhoLosesItHasATenthOfItsTimeBeforeTheNextIsIn) {
    RecordingSink sink;
    for_each_seed(200, [](std::uint64_t seed) {
        SeededScheduler scheduler{seed, loops};
        auto all = parties(scheduler, 2);
        scheduler.spawn(0, and_close(lost_by_time(all[0], all[1], &scheduler.random()), all));
        scheduler.run_to_end();
    });
}

Task<> given_back_when_lost(Party holder, Party next) {
    const auto lock = co_await Lock::acquire(holder, "l");
    auto stop = [](Party party, const Lock* of) -> Task<TimePoint> {
        co_await lose_by_time(party, of);
        const auto lost = Clock::current().now();
        co_await of->release();
        co_return lost;
    };
    const auto [lost, entered] = co_await when_all(stop(holder, &lock), next_entry(next));
    require(entered - lost < 100ms, "nobody waits for a holder who has stopped");
}

TEST(LockSimulation, WhoGivesALostOneBackLetsTheNextInAtOnce) {
    RecordingSink sink;
    for_each_seed(200, [](std::uint64_t seed) {
        SeededScheduler scheduler{seed, loops};
        auto all = parties(scheduler, 2);
        scheduler.spawn(0, and_close(given_back_when_lost(all[0], all[1]), all));
        scheduler.run_to_end();
    });
}

/// Shares the lock again and again, with others: without turns it would never be free.
Task<> read_on(Party party, Holders* holders, Random* dice, const bool* over) {
    while (!*over) {
        const auto place =
            holders->enter(co_await Lock::acquire(party, "l", {.mode = LockMode::shared}));
        co_await sleep_for(up_to(dice, 2s));
        const auto mine = holders->leave(place);
        co_await mine.release();
    }
}

Task<> write_thrice(Party party, Holders* holders, Random* dice, bool* over) {
    for (int turns = 0; turns < 3; ++turns) {
        co_await sleep_for(up_to(dice, 2s));
        const auto begun = Clock::current().now();
        const auto place = holders->enter(co_await Lock::acquire(party, "l"));
        // Those who are in when it asks stay for 2 s at most.
        require(Clock::current().now() - begun < 3s, "the writer was passed by readers");
        const auto mine = holders->leave(place);
        co_await mine.release();
    }
    *over = true;
}

TEST(SharedLockSimulation, ReadersThatComeAndGoDoNotKeepAWriterOut) {
    RecordingSink sink;
    for_each_seed(300, [](std::uint64_t seed) {
        SeededScheduler scheduler{seed, loops};
        auto all = parties(scheduler, 6);
        bool over = false;
        Holders holders;
        std::vector<Task<>> tasks;
        for (std::size_t i = 1; i < all.size(); ++i)
            tasks.push_back(read_on(all[i], &holders, &scheduler.random(), &over));
        tasks.push_back(write_thrice(all[0], &holders, &scheduler.random(), &over));
        auto work = [](std::vector<Task<>> many) -> Task<> { co_await when_all(std::move(many)); };
        scheduler.spawn(0, and_close(work(std::move(tasks)), all));
        scheduler.run_to_end();
        require(holders.overlaps == 0, "two held the lock at a time");
        require(holders.out_of_order == 0, "a fencing token was smaller than one before");
    });
}

Task<> lead_for_a_while(Party party, std::string name, Random* dice) {
    for (int turns = 0; turns < 2;) {
        auto mine = co_await as_result(campaign(party, "e", name));
        if (!mine) {
            co_await sleep_for(1s);
            continue;
        }
        if (dice->below(3) == 0) (void)co_await as_result(mine->proclaim(name + " again"));
        if (dice->below(3) == 0) co_await lose_the_store_for(party, up_to(dice, 2 * ttl));
        co_await sleep_for(up_to(dice, 1s));
        co_await mine->resign();
        ++turns;
    }
}

/// Sees leaders in the order of their tokens; in the end nobody leads.
Task<> observe(Party party, Event* over) {
    auto watch = co_await LeaderWatch::open(party, "e");
    std::uint64_t largest = 0;
    std::optional<Leader> last;
    for (;;) {
        auto seen = co_await as_result(
            with_deadline(over->is_set() ? Deadline::in(ttl) : Deadline::in(2 * ttl), watch.next())
        );
        if (!seen && over->is_set()) break;
        if (!seen) continue;
        last = std::move(*seen);
        if (!last) continue;
        require(last->fencing_token >= largest, "an older leader is seen after a newer one");
        largest = last->fencing_token;
    }
    require(!last, "the last leader has resigned");
}

TEST(ElectionSimulation, ObserversSeeLeadersInOrder) {
    RecordingSink sink;
    for_each_seed(200, [](std::uint64_t seed) {
        SeededScheduler scheduler{seed, loops};
        auto all = parties(scheduler, 4);
        Event over;
        auto candidates = [](std::vector<Party> some, Random* dice, Event* done) -> Task<> {
            std::vector<Task<>> tasks;
            for (std::size_t i = 0; i < 3; ++i)
                tasks.push_back(lead_for_a_while(some[i], "c" + std::to_string(i), dice));
            co_await when_all(std::move(tasks));
            done->set();
        };
        auto work = [](Task<> first, Task<> second) -> Task<> {
            co_await when_all(std::move(first), std::move(second));
        };
        scheduler.spawn(
            0,
            and_close(
                work(candidates(all, &scheduler.random(), &over), observe(all[3], &over)), all
            )
        );
        scheduler.run_to_end();
    });
}

struct Ended {
    std::optional<std::vector<std::string>> led;
    std::string leader_error;
    std::map<std::string, std::string> joined;  // id and data
};

Task<> lead(Party party, Ended* ended, std::uint32_t workers, Random* dice) {
    auto led = co_await as_result(lead_barrier(
        party, "g", workers, "data", {.deadline = Deadline::in(3 * ttl + up_to(dice, ttl))}
    ));
    if (led)
        ended->led = std::move(*led);
    else
        ended->leader_error = led.error().detail();
}

Task<> take_part(Party party, std::string id, Ended* ended, Random* dice) {
    co_await sleep_for(up_to(dice, 2s));
    const auto patience = dice->below(8) == 0 ? up_to(dice, 3s) : 6 * ttl;
    auto joined =
        co_await as_result(join_barrier(party, "g", id, {.deadline = Deadline::in(patience)}));
    if (joined) ended->joined[id] = *joined;
}

Task<> trouble(std::vector<Party> all, Random* dice) {
    if (dice->below(2) == 0) co_return;
    co_await sleep_for(up_to(dice, 4s));
    co_await lose_the_store_for(all[dice->below(all.size())], up_to(dice, 2 * ttl));
}

TEST(BarrierSimulation, NobodyGoesOnAlone) {
    RecordingSink sink;
    int completed = 0;
    for_each_seed(300, [&](std::uint64_t seed) {
        SeededScheduler scheduler{seed, loops};
        auto all = parties(scheduler, 4);
        Ended ended;
        auto& dice = scheduler.random();
        std::vector<Task<>> tasks;
        tasks.push_back(lead(all[0], &ended, 3, &dice));
        for (std::size_t i = 1; i < 4; ++i)
            tasks.push_back(take_part(all[i], "w" + std::to_string(i), &ended, &dice));
        tasks.push_back(trouble(all, &dice));
        auto work = [](std::vector<Task<>> many) -> Task<> { co_await when_all(std::move(many)); };
        scheduler.spawn(0, and_close(work(std::move(tasks)), all));
        scheduler.run_to_end();
        for (const auto& [id, data] : ended.joined) require(data == "data", "a worker's data");
        if (ended.led) {
            require(ended.led->size() == 3, "the leader went on without all");
            ++completed;
        } else {
            // Lost just after it was complete, the leader does not know that it was.
            require(
                ended.joined.empty() || ended.leader_error == "store.session_lost",
                "a worker went on and the leader did not"
            );
        }
    });
    EXPECT_GT(completed, 50);
    EXPECT_LT(completed, 300);
}

Task<> resynchronise(Party party) {
    co_await party->put("v1/test/a", "1");
    auto watch = co_await TypedWatch<std::int64_t>::open(party, "v1/test/");
    require((co_await watch.next())->name == "a", "the first value");
    using Kind = TypedEvent<std::int64_t>::Kind;
    require((co_await watch.next())->kind == Kind::synced, "the end of the first values");
    party->simulate_resync();
    co_await party->put("v1/test/b", "2");
    party->simulate_resync();
    const auto event = co_await watch.next();
    require(event->name == "b" && *event->value == 2, "the next event is what is different");
    require(!watch.try_next(), "and nothing else");
}

TEST(TypedWatchSimulation, AResyncShowsAsTheDifference) {
    SeededScheduler scheduler{1, loops};
    const auto all = parties(scheduler, 1);
    scheduler.spawn(0, and_close(resynchronise(all.front()), all));
    scheduler.run_to_end();
}

// ---- caches

Task<> write_and_look(Party party) {
    auto cache = co_await KvCache<std::int64_t>::open(party, "v1/test/c/");
    for (std::int64_t i = 0; i < 5; ++i) {
        co_await cache->put("x", i);
        const auto seen = cache->find("x");
        require(seen && *seen == i, "a write returned before the copy showed it");
    }
    require(co_await cache->remove("x"), "there was something");
    require(cache->find("x") == nullptr, "a removal returned before the copy showed it");
    require(co_await cache->create("x", 7), "there was nothing");
    const auto seen = cache->find("x");
    require(seen && *seen == 7, "a creation returned before the copy showed it");
    co_await cache->close();
}

TEST(CacheSimulation, AWriteReturnsWhenTheCopyShowsIt) {
    for_each_seed(300, [](std::uint64_t seed) {
        SeededScheduler scheduler{seed, loops};
        auto all = parties(scheduler, 2);
        scheduler.spawn(0, and_close(write_and_look(all[1]), all));  // its loop is another one
        scheduler.run_to_end();
    });
}

}  // namespace
}  // namespace stator::store
