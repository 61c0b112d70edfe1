// The token tree while several threads grow, cut and cancel it.

#include <atomic>
#include <mutex>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "stator/runtime/event.hpp"
#include "stator/runtime/token_wait.hpp"
#include "tests/runtime/patience.hpp"
#include "tests/runtime/race_rig.hpp"

namespace stator {
namespace {

using test::Dice;
using test::give_up;

/// Tokens that threads give to each other.
class Market {
public:
    void give(CancellationToken token) {
        const std::lock_guard guard{lock_};
        tokens_.push_back(std::move(token));
    }
    CancellationToken take(Dice& dice) {
        const std::lock_guard guard{lock_};
        if (tokens_.empty()) return {};
        std::swap(tokens_[dice.below(tokens_.size())], tokens_.back());
        auto token = std::move(tokens_.back());
        tokens_.pop_back();
        return token;
    }

private:
    std::mutex lock_;
    std::vector<CancellationToken> tokens_;
};

/// One thread's part: at random, grows branches, drops handles in the middle of them, cancels
/// some, and gives some away.
class Gardener {
public:
    Gardener(CancellationToken root, Market& market, Dice dice, std::uint64_t seed)
        : root_{std::move(root)}, market_{market}, dice_{dice}, seed_{seed} {}

    void work(std::size_t steps) {
        for (std::size_t i = 0; i < steps; ++i) step();
    }
    void check_cancelled() const {
        for (const auto& token : held_) {
            if (!token.cancelled()) give_up("a token below a cancelled root is not", seed_);
        }
    }

private:
    void step() {
        switch (dice_.below(16)) {
            case 0:
                return cancel(any());
            case 1:
            case 2:
                return market_.give(any());
            case 3:
            case 4:
                if (auto token = market_.take(dice_)) held_.push_back(std::move(token));
                return;
            case 5:
                return grow_deep();
            default:
                return dice_.below(held_.size() + 8) < 32 ? grow() : drop();
        }
    }
    CancellationToken any() {
        return held_.empty() ? root_.child_token() : held_[dice_.below(held_.size())];
    }
    void grow() {
        const auto parent = any();
        const bool before = parent.cancelled();
        held_.push_back(parent.child_token());
        if (before && !held_.back().cancelled()) give_up("a child was not born cancelled", seed_);
    }
    void grow_deep() {
        auto token = any();
        for (std::size_t i = dice_.below(8); i > 0; --i) token = token.child_token();
        held_.push_back(std::move(token));
    }
    void drop() {
        std::swap(held_[dice_.below(held_.size())], held_.back());
        held_.pop_back();
    }
    void cancel(const CancellationToken& token) {
        const auto child = token.child_token();
        token.cancel(CancelReason::peer_gone);
        if (!token.cancelled() || token.child_token().reason() != CancelReason::parent)
            give_up("a cancelled token is not", seed_);
        if (root_.cancelled()) give_up("a cancel went upwards", seed_);
        // Somebody else's cancel may still be on its way down to it, but it gets there.
        while (!child.cancelled()) std::this_thread::yield();
    }

    CancellationToken root_;
    Market& market_;
    Dice dice_;
    std::uint64_t seed_;
    std::vector<CancellationToken> held_;
};

TEST(TokenRace, a_tree_that_many_threads_grow_cut_and_cancel_stays_whole) {
    const auto seed = test::seed();
    std::printf("STATOR_SEED=%llu\n", static_cast<unsigned long long>(seed));
    const auto baseline = detail::live_token_nodes();
    Dice dice{seed};
    constexpr std::size_t epochs = 20;
    for (std::size_t epoch = 0; epoch < epochs; ++epoch) {
        const auto root = CancellationToken::make();
        Market market;
        std::vector<Gardener> gardeners;
        for (int i = 0; i < 4; ++i) gardeners.emplace_back(root, market, Dice{dice()}, seed);
        std::vector<std::thread> threads;
        for (auto& gardener : gardeners) {
            threads.emplace_back([&] { gardener.work(test::iterations(8'000'000) / epochs / 4); });
        }
        for (auto& thread : threads) thread.join();
        ASSERT_FALSE(root.cancelled());
        root.cancel(CancelReason::shutdown);
        for (const auto& gardener : gardeners) gardener.check_cancelled();
    }
    EXPECT_EQ(detail::live_token_nodes(), baseline);
}

/// A task waits again and again while a partner wakes it, until its token is cancelled: then only
/// the cancel can end its last wait, wherever in its registration that was.
Task<> wait_again_and_again(Event* event) {
    for (;;) {
        co_await event->wait();
        event->reset();
    }
}

Task<> wake_until_cancelled(Event* event, CancellationToken token) {
    while (!token.cancelled()) {
        event->set();
        co_await yield();
    }
}

TEST(TokenRace, a_cancel_finds_a_wait_that_is_just_being_registered) {
    const auto seed = test::seed();
    std::printf("STATOR_SEED=%llu\n", static_cast<unsigned long long>(seed));
    Dice dice{seed};
    const test::Budget budget{test::iterations(50'000)};
    LoopPool pool{1, "waiter"};
    constexpr std::size_t batch = 16;
    for (std::size_t done = 0; budget.allows(done); done += batch) {
        std::vector<Event> events(batch);
        std::vector<CancellationToken> tokens(batch);
        TaskScope scope;
        for (std::size_t i = 0; i < batch; ++i) {
            tokens[i] = CancellationToken::make();
            scope.spawn_on(pool[0], with_token(tokens[i], wait_again_and_again(&events[i])));
            scope.spawn_on(pool[0], wake_until_cancelled(&events[i], tokens[i]));
        }
        for (const auto& token : tokens) {
            test::spin(dice.below(2000));
            token.cancel();
        }
        const auto until = std::chrono::steady_clock::now() + test::patience();
        while (scope.size() != 0) {
            if (std::chrono::steady_clock::now() > until)
                give_up("a cancel did not reach what waited", seed);
            std::this_thread::yield();
        }
    }
}

/// root - middle - lower - leaf, where something waits for the leaf, the root is cancelled, and
/// the handles in between go at the same time.
TEST(TokenRace, a_cancel_finds_what_waits_while_the_nodes_on_its_way_go) {
    const auto seed = test::seed();
    std::printf("STATOR_SEED=%llu\n", static_cast<unsigned long long>(seed));
    const auto baseline = detail::live_token_nodes();
    {
        Dice dice{seed};
        LoopPool pool{1, "waiter"};
        constexpr std::size_t batch = 256;
        auto wait = [](CancellationToken token) -> Task<> { co_await token.wait(); };
        for (std::size_t done = 0; done < test::iterations(100'000); done += batch) {
            std::vector<CancellationToken> roots(batch);
            std::vector<CancellationToken> middles(batch);
            std::vector<CancellationToken> lowers(batch);
            TaskScope scope;
            for (std::size_t i = 0; i < batch; ++i) {
                roots[i] = CancellationToken::make();
                middles[i] = roots[i].child_token();
                lowers[i] = middles[i].child_token();
                scope.spawn_on(pool[0], wait(lowers[i].child_token()));
                scope.spawn_on(pool[0], wait(middles[i].child_token()));
            }
            const bool upper_first = dice.below(2) == 0;
            std::thread dropper{[&, thread_dice = Dice{dice()}]() mutable {
                for (std::size_t i = 0; i < batch; ++i) {
                    thread_dice.pause();
                    const auto sibling = middles[i].child_token();
                    (upper_first ? middles : lowers)[i] = {};
                    (upper_first ? lowers : middles)[i] = {};
                }
            }};
            for (std::size_t i = 0; i < batch; ++i) {
                dice.pause();
                roots[i].cancel();
            }
            dropper.join();
            const auto until = std::chrono::steady_clock::now() + test::patience();
            while (scope.size() != 0) {
                if (std::chrono::steady_clock::now() > until)
                    give_up("a cancel did not reach what waited", seed);
                std::this_thread::yield();
            }
        }
    }
    EXPECT_EQ(detail::live_token_nodes(), baseline);
}

}  // namespace
}  // namespace stator
