// 10^6 randomised races: every wait ends exactly once, on its own loop, and nothing is lost.

#include <array>
#include <cstdio>
#include <memory>
#include <optional>
#include <vector>

#include <boost/asio/steady_timer.hpp>
#include <gtest/gtest.h>

#include "stator/runtime/asio.hpp"
#include "stator/runtime/channel.hpp"
#include "stator/runtime/combinators.hpp"
#include "stator/runtime/event.hpp"
#include "stator/runtime/semaphore.hpp"
#include "stator/runtime/timer.hpp"
#include "stator/runtime/token_wait.hpp"
#include "tests/runtime/race_rig.hpp"

namespace stator {
namespace {

using test::Dice;
using test::End;
using test::Rig;

/// What every batch has: a token and an outcome for each contest.
class Field {
public:
    static constexpr bool can_be_cancelled = true;
    explicit Field(Rig& rig) : rig_{rig}, tokens_(Rig::batch), ends_(Rig::batch, End::none) {
        for (auto& token : tokens_) token = CancellationToken::make();
    }
    CancellationToken token(std::size_t i) const { return tokens_[i]; }
    void cancel(std::size_t i) const { tokens_[i].cancel(); }
    void complete(std::size_t, Dice&) const {}
    void check() const {
        for (const End end : ends_) {
            if (end == End::none) rig_.fail("a contest has no outcome");
            rig_.count(end);
        }
    }

protected:
    /// Some time for contest i: in one batch less than cancelling all takes, in another far more.
    Duration a_moment(std::size_t i) const {
        constexpr std::array<std::size_t, 4> scales{1, 20, 300, 1'000'000'000};
        return Duration{i * 7919 % 8192 * scales[rig_.batches() % scales.size()]};
    }
    void ended(std::size_t i, End end) {
        if (ends_[i] != End::none) rig_.fail("a contest ended twice");
        ends_[i] = end;
    }
    void failed(std::size_t i, const Error& error) {
        if (error.code() != ErrorCode::cancelled) rig_.fail(error.what());
        ended(i, End::cancelled);
    }
    /// The last thing that a contest awaits.
    Rig::Park rest(std::size_t i) {
        rig_.resumed_on(rig_.loop(i));
        return rig_.park(i);
    }

    Rig& rig_;
    std::vector<CancellationToken> tokens_;
    std::vector<End> ends_;
};

class EventField : public Field {
public:
    using Field::Field;
    Task<> contest(std::size_t i) {
        try {
            rig_.begin(i);
            co_await events_[i].wait();
            ended(i, End::granted);
        } catch (const Error& error) {
            failed(i, error);
        }
        co_await rest(i);
    }
    void complete(std::size_t i, Dice&) { events_[i].set(); }

private:
    std::vector<Event> events_ = std::vector<Event>(Rig::batch);
};

/// All contests wait for one event.
class SharedEventField : public Field {
public:
    explicit SharedEventField(Rig& rig) : Field{rig}, set_at_{rig.dice().below(Rig::batch)} {}
    Task<> contest(std::size_t i) {
        try {
            rig_.begin(i);
            co_await event_.wait();
            ended(i, End::granted);
        } catch (const Error& error) {
            failed(i, error);
        }
        co_await rest(i);
    }
    void complete(std::size_t i, Dice&) {
        if (i == set_at_) event_.set();
    }

private:
    std::size_t set_at_;
    Event event_;
};

/// Contests receive; the item i must come out once, somewhere.
class ReceiveField : public Field {
public:
    using Field::Field;
    Task<> contest(std::size_t i) {
        try {
            rig_.begin(i);
            items_[i] = co_await channel_.receive();
            ended(i, End::granted);
        } catch (const Error& error) {
            failed(i, error);
        }
        co_await rest(i);
    }
    void complete(std::size_t i, Dice&) {
        if (!channel_.try_send(std::size_t{i})) rig_.fail("no room for all items");
    }
    void check() {
        Field::check();
        std::vector<int> seen(Rig::batch);
        for (std::size_t i = 0; i < Rig::batch; ++i) {
            if (items_[i].has_value() != (ends_[i] == End::granted))
                rig_.fail("an item is missing");
            if (items_[i]) ++seen[*items_[i]];
        }
        while (auto item = channel_.try_receive()) ++seen[*item];
        for (const int times : seen) {
            if (times != 1) rig_.fail(times == 0 ? "an item was lost" : "an item was doubled");
        }
    }

private:
    Channel<std::size_t> channel_{Rig::batch};
    using Items = std::vector<std::optional<std::size_t>>;
    Items items_ = Items(Rig::batch);
};

/// Contests send into a channel that is small and sometimes closed; what was taken must come out.
class SendField : public Field {
public:
    explicit SendField(Rig& rig)
        : Field{rig},
          channel_{1 + rig.dice().below(3)},
          close_at_{rig.dice().below(4 * Rig::batch)} {}
    Task<> contest(std::size_t i) {
        try {
            rig_.begin(i);
            const bool sent = co_await channel_.send(i);
            ended(i, sent ? End::granted : End::refused);
        } catch (const Error& error) {
            failed(i, error);
        }
        co_await rest(i);
    }
    void complete(std::size_t i, Dice&) {
        if (auto item = channel_.try_receive()) ++seen_[*item];
        if (i == close_at_) channel_.close();
    }
    void check() {
        Field::check();
        while (auto item = channel_.try_receive()) ++seen_[*item];
        for (std::size_t i = 0; i < Rig::batch; ++i) {
            const int expected = ends_[i] == End::granted ? 1 : 0;
            if (seen_[i] < expected) rig_.fail("an item was lost");
            if (seen_[i] > expected) rig_.fail("an item was doubled, or sent by a cancelled send");
        }
    }

private:
    Channel<std::size_t> channel_;
    std::size_t close_at_;
    std::vector<int> seen_ = std::vector<int>(Rig::batch);
};

/// Some of the contests send, the others receive; both are cancelled.
class BothEndsField : public Field {
public:
    explicit BothEndsField(Rig& rig)
        : Field{rig}, channel_{1 + rig.dice().below(4)}, senders_{1 + rig.batches() % 4} {}
    Task<> contest(std::size_t i) {
        try {
            rig_.begin(i);
            if (sends(i)) {
                const bool sent = co_await channel_.send(i);
                ended(i, sent ? End::granted : End::refused);
            } else {
                items_[i] = co_await channel_.receive();
                ended(i, End::granted);
            }
        } catch (const Error& error) {
            failed(i, error);
        }
        co_await rest(i);
    }
    void check() {
        Field::check();
        std::vector<int> seen(Rig::batch);
        for (const auto& item : items_) {
            if (item) ++seen[*item];
        }
        while (auto item = channel_.try_receive()) ++seen[*item];
        for (std::size_t i = 0; i < Rig::batch; ++i) {
            const bool sent = sends(i) && ends_[i] == End::granted;
            if (seen[i] != (sent ? 1 : 0)) rig_.fail("an item was lost or doubled");
        }
    }

private:
    bool sends(std::size_t i) const { return i / 2 % 5 < senders_; }  // on both loops
    Channel<std::size_t> channel_;
    std::size_t senders_;  // of five
    using Items = std::vector<std::optional<std::size_t>>;
    Items items_ = Items(Rig::batch);
};

/// Contests acquire one or several of few units, which come back from a foreign thread.
class SemaphoreField : public Field {
public:
    explicit SemaphoreField(Rig& rig) : Field{rig}, taken_(units) {
        for (auto& permit : taken_) permit = semaphore_.try_acquire();
    }
    Task<> contest(std::size_t i) {
        try {
            rig_.begin(i);
            const auto permit = co_await semaphore_.acquire(1 + i % units);
            const auto used = in_use_.fetch_add(permit.units()) + permit.units();
            if (used > units) rig_.fail("more units were handed out than there are");
            in_use_.fetch_sub(permit.units());
            ended(i, End::granted);
        } catch (const Error& error) {
            failed(i, error);
        }
        co_await rest(i);
    }
    void complete(std::size_t i, Dice& dice) {
        auto& permit = taken_[i % units];
        permit.reset();
        if (dice.below(3) == 0) permit = semaphore_.try_acquire();
        if (i + 1 == Rig::batch) taken_.clear();
    }
    void check() {
        Field::check();
        if (semaphore_.available() != units) rig_.fail("units were lost");
    }

private:
    static constexpr std::size_t units = 3;
    Semaphore semaphore_{units};
    std::vector<std::optional<Permit>> taken_;
    std::atomic<std::size_t> in_use_{0};
};

class TimerField : public Field {
public:
    using Field::Field;
    Task<> contest(std::size_t i) {
        try {
            rig_.begin(i);
            co_await sleep_for(a_moment(i));
            ended(i, End::granted);
        } catch (const Error& error) {
            failed(i, error);
        }
        co_await rest(i);
    }
};

/// Time, a stop token and the contest's own token.
class StopField : public Field {
public:
    explicit StopField(Rig& rig) : Field{rig}, stops_(Rig::batch) {
        for (auto& stop : stops_) stop = CancellationToken::make();
    }
    Task<> contest(std::size_t i) {
        try {
            rig_.begin(i);
            const bool slept = co_await sleep_for(a_moment(i), stops_[i]);
            if (!slept && !stops_[i].cancelled()) rig_.fail("stopped by nobody");
            ended(i, slept ? End::granted : End::refused);
        } catch (const Error& error) {
            failed(i, error);
        }
        co_await rest(i);
    }
    void complete(std::size_t i, Dice&) { stops_[i].cancel(); }

private:
    std::vector<CancellationToken> stops_;
};

class TokenWaitField : public Field {
public:
    explicit TokenWaitField(Rig& rig) : Field{rig}, targets_(Rig::batch) {
        for (auto& target : targets_) target = CancellationToken::make();
    }
    Task<> contest(std::size_t i) {
        try {
            rig_.begin(i);
            co_await targets_[i].wait();
            ended(i, End::granted);
        } catch (const Error& error) {
            failed(i, error);
        }
        co_await rest(i);
    }
    void complete(std::size_t i, Dice&) { targets_[i].cancel(); }

private:
    std::vector<CancellationToken> targets_;
};

/// The awaited token is above the contest's own, so that one cancel reaches both.
class TokenAboveField : public Field {
public:
    static constexpr bool can_be_cancelled = false;
    explicit TokenAboveField(Rig& rig) : Field{rig}, roots_(Rig::batch), targets_(Rig::batch) {
        for (std::size_t i = 0; i < Rig::batch; ++i) {
            roots_[i] = CancellationToken::make();
            targets_[i] = roots_[i].child_token();
            tokens_[i] = targets_[i].child_token();
        }
    }
    Task<> contest(std::size_t i) {
        try {
            rig_.begin(i);
            co_await targets_[i].wait();
            ended(i, End::granted);
        } catch (const Error&) {
            rig_.fail("a wait for a token above threw");
        }
        co_await rest(i);
    }
    void cancel(std::size_t i) const { roots_[i].cancel(); }
    void complete(std::size_t i, Dice&) const { targets_[i].cancel(); }

private:
    std::vector<CancellationToken> roots_;
    std::vector<CancellationToken> targets_;
};

/// Each contest owns a scope with tasks on both loops, and destroys it as soon as it may.
class ScopeField : public Field {
public:
    using Field::Field;
    Task<> contest(std::size_t i) {
        auto scope = std::make_unique<TaskScope>(tokens_[i]);
        rig_.begin(i);
        scope->spawn(child(i, &rig_.loop(i)));
        scope->spawn_on(rig_.loop(i + 1), child(i, &rig_.loop(i + 1)));
        try {
            co_await scope->join();
            ended(i, End::granted);
        } catch (const Error& error) {
            failed(i, error);
        }
        if (ends_[i] == End::cancelled) co_await scope->close();
        if (children_[i] != 2) rig_.fail("a scope ended before its tasks");
        scope.reset();
        co_await rest(i);
    }
    void complete(std::size_t i, Dice&) { events_[i].set(); }

private:
    Task<> child(std::size_t i, Loop* home) {
        const Counted counted{&children_[i]};
        co_await events_[i].wait();
        rig_.resumed_on(*home);
    }
    /// Counts at the end of the frame, cancelled or not.
    struct Counted {
        std::atomic<int>* count;
        ~Counted() { ++*count; }
    };
    std::vector<Event> events_ = std::vector<Event>(Rig::batch);
    std::vector<std::atomic<int>> children_ = std::vector<std::atomic<int>>(Rig::batch);
};

class DeadlineField : public Field {
public:
    using Field::Field;
    Task<> contest(std::size_t i) {
        rig_.begin(i);
        auto result = co_await as_result(with_deadline(Deadline::in(a_moment(i)), wait(i)));
        if (result.has_value()) {
            ended(i, End::granted);
        } else if (result.error().code() == ErrorCode::deadline_exceeded) {
            ended(i, End::refused);
        } else {
            failed(i, result.error());
        }
        co_await rest(i);
    }
    void complete(std::size_t i, Dice&) { events_[i].set(); }

private:
    Task<> wait(std::size_t i) { co_await events_[i].wait(); }
    std::vector<Event> events_ = std::vector<Event>(Rig::batch);
};

/// The first of an item, an event and some time.
class WhenAnyField : public Field {
public:
    using Field::Field;
    Task<> contest(std::size_t i) {
        rig_.begin(i);
        auto first = co_await as_result(when_any(item(), wait(i), pause(i)));
        if (first.has_value()) {
            ended(i, End::granted);
        } else {
            failed(i, first.error());
        }
        co_await rest(i);
    }
    void complete(std::size_t i, Dice&) {
        if (i % 4 == 0) events_[i].set();
        if (i % 8 == 1) channel_.try_send(std::size_t{i});
    }

private:
    Task<std::optional<std::size_t>> item() { co_return co_await channel_.receive(); }
    Task<> wait(std::size_t i) { co_await events_[i].wait(); }
    Task<> pause(std::size_t i) { co_await sleep_for(a_moment(i)); }
    Channel<std::size_t> channel_{Rig::batch};
    std::vector<Event> events_ = std::vector<Event>(Rig::batch);
};

/// An operation of the reactor.
class AsioField : public Field {
public:
    using Field::Field;
    Task<> contest(std::size_t i) {
        boost::asio::steady_timer timer{reactor_of(rig_.loop(i)), a_moment(i)};
        rig_.begin(i);
        const auto code = co_await timer.async_wait(use_task);
        ended(i, code ? End::cancelled : End::granted);
        co_await rest(i);
    }
};

/// A thirteenth of 10^6 for each kind.
constexpr std::size_t share = 1'000'000 / 13 + 1;

template <class Field>
class Race : public ::testing::Test {};

struct Names {
    template <class F>
    static std::string GetName(int) {
        std::string name = testing::internal::GetTypeName<F>();
        return name.substr(name.rfind(':') + 1);
    }
};

using Fields = ::testing::Types<
    EventField,
    SharedEventField,
    ReceiveField,
    SendField,
    BothEndsField,
    SemaphoreField,
    TimerField,
    StopField,
    TokenWaitField,
    TokenAboveField,
    ScopeField,
    DeadlineField,
    WhenAnyField,
    AsioField>;
TYPED_TEST_SUITE(Race, Fields, Names);

TYPED_TEST(Race, every_wait_ends_once_and_nothing_is_lost) {
    const auto nodes = detail::live_token_nodes();
    {
        Rig rig{Names::GetName<TypeParam>(0)};
        rig.race<TypeParam>(test::iterations(share));
        std::printf(
            "%zu granted, %zu refused, %zu cancelled\n",
            rig.counted(End::granted),
            rig.counted(End::refused),
            rig.counted(End::cancelled)
        );
        EXPECT_GT(rig.counted(End::granted), 0U);
        EXPECT_EQ(rig.counted(End::cancelled) > 0, TypeParam::can_be_cancelled);
    }
    EXPECT_EQ(detail::live_token_nodes(), nodes);
}

}  // namespace
}  // namespace stator
