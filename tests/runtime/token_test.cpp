#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "stator/runtime/cancellation_token.hpp"
#include "stator/runtime/event.hpp"
#include "stator/runtime/token_wait.hpp"
#include "tests/runtime/loop_fixture.hpp"
#include "tests/runtime/small_stack.hpp"
#include "tests/support/iterations.hpp"

namespace stator {
namespace {

/// A million, or less under a sanitizer.
const auto million = test::iterations(1'000'000);

TEST(Token, a_default_constructed_one_is_never_cancelled) {
    CancellationToken none;
    none.cancel();
    EXPECT_FALSE(none);
    EXPECT_FALSE(none.cancelled());
    EXPECT_EQ(none.reason(), CancelReason::none);
    EXPECT_EQ(none.cause(), CancelReason::none);
    const auto child = none.child_token();
    EXPECT_TRUE(child);
    EXPECT_FALSE(child.cancelled());
    child.cancel();
    EXPECT_TRUE(child.cancelled());
    EXPECT_FALSE(none.cancelled());
}

TEST(Token, copies_are_the_same_node) {
    const auto token = CancellationToken::make();
    auto copy = token;
    EXPECT_EQ(copy, token);
    EXPECT_NE(copy, CancellationToken::make());
    copy.cancel();
    EXPECT_TRUE(token.cancelled());
    auto moved = std::move(copy);
    EXPECT_EQ(moved, token);
    EXPECT_FALSE(copy);  // NOLINT(bugprone-use-after-move)
    CancellationToken& same = moved;
    moved = same;
    EXPECT_EQ(moved, token);
}

TEST(Token, dropping_a_handle_cancels_nothing) {
    const auto root = CancellationToken::make();
    {
        const auto child = root.child_token();
    }
    EXPECT_FALSE(root.cancelled());
    const auto child = [&] { return CancellationToken::make().child_token(); }();
    EXPECT_FALSE(child.cancelled());
}

TEST(Token, cancelling_reaches_everything_below_and_nothing_else) {
    const auto root = CancellationToken::make();
    const auto left = root.child_token();
    const auto right = root.child_token();
    const auto left_child = left.child_token();
    const auto left_grandchild = left_child.child_token();
    left.cancel();
    EXPECT_FALSE(root.cancelled());
    EXPECT_TRUE(left.cancelled());
    EXPECT_TRUE(left_child.cancelled());
    EXPECT_TRUE(left_grandchild.cancelled());
    EXPECT_FALSE(right.cancelled());
    root.cancel();
    EXPECT_TRUE(right.cancelled());
}

TEST(Token, a_child_of_a_cancelled_one_is_born_cancelled) {
    const auto root = CancellationToken::make();
    const auto middle = root.child_token();
    root.cancel(CancelReason::shutdown);
    for (const auto& parent : {root, middle}) {
        const auto child = parent.child_token();
        EXPECT_EQ(child.reason(), CancelReason::parent);
        EXPECT_EQ(child.cause(), CancelReason::shutdown);
        EXPECT_EQ(child.child_token().cause(), CancelReason::shutdown);
    }
}

TEST(Token, the_first_reason_stays_and_children_see_parent_and_the_cause) {
    const auto root = CancellationToken::make();
    const auto early = root.child_token();
    const auto below_early = early.child_token();
    const auto late = root.child_token();
    early.cancel(CancelReason::peer_gone);
    root.cancel(CancelReason::deadline);
    root.cancel(CancelReason::requested);
    EXPECT_EQ(root.reason(), CancelReason::deadline);
    EXPECT_EQ(root.cause(), CancelReason::deadline);
    EXPECT_EQ(early.reason(), CancelReason::peer_gone);
    EXPECT_EQ(early.cause(), CancelReason::peer_gone);
    EXPECT_EQ(below_early.reason(), CancelReason::parent);
    EXPECT_EQ(below_early.cause(), CancelReason::peer_gone);
    EXPECT_EQ(late.reason(), CancelReason::parent);
    EXPECT_EQ(late.cause(), CancelReason::deadline);
}

TEST(Token, every_reason_has_a_name_and_none_or_an_unknown_one_cancels_as_requested) {
    EXPECT_EQ(to_string(CancelReason::none), "none");
    EXPECT_EQ(to_string(CancelReason::requested), "requested");
    EXPECT_EQ(to_string(CancelReason::deadline), "deadline");
    EXPECT_EQ(to_string(CancelReason::shutdown), "shutdown");
    EXPECT_EQ(to_string(CancelReason::parent), "parent");
    EXPECT_EQ(to_string(CancelReason::peer_gone), "peer_gone");
    EXPECT_EQ(to_string(static_cast<CancelReason>(77)), "unknown");
    for (const int number : {0, 6, 16, 255}) {
        const auto root = CancellationToken::make();
        const auto child = root.child_token();
        root.cancel(static_cast<CancelReason>(number));
        EXPECT_EQ(root.reason(), CancelReason::requested) << number;
        EXPECT_EQ(root.cause(), CancelReason::requested) << number;
        EXPECT_TRUE(child.cancelled()) << number;
        EXPECT_EQ(child.cause(), CancelReason::requested) << number;
    }
}

TEST(Token, when_a_middle_ones_last_handle_goes_its_children_hang_on_its_parent) {
    const auto root = CancellationToken::make();
    std::vector<CancellationToken> grandchildren;
    {
        const auto middle = root.child_token();
        for (int i = 0; i < 3; ++i) grandchildren.push_back(middle.child_token());
    }
    const auto below = grandchildren[0].child_token();
    EXPECT_EQ(detail::live_token_nodes(), 5U) << "the middle one is gone";
    grandchildren[1].cancel();
    EXPECT_FALSE(grandchildren[0].cancelled());
    root.cancel(CancelReason::shutdown);
    EXPECT_EQ(grandchildren[0].cause(), CancelReason::shutdown);
    EXPECT_EQ(grandchildren[1].cause(), CancelReason::requested);
    EXPECT_EQ(grandchildren[2].cause(), CancelReason::shutdown);
    EXPECT_EQ(below.cause(), CancelReason::shutdown);
}

TEST(Token, when_a_roots_last_handle_goes_its_children_are_roots) {
    CancellationToken left;
    CancellationToken right;
    {
        const auto root = CancellationToken::make();
        left = root.child_token();
        right = root.child_token();
    }
    EXPECT_EQ(detail::live_token_nodes(), 2U);
    left.cancel();
    EXPECT_TRUE(left.cancelled());
    EXPECT_FALSE(right.cancelled());
}

TEST(Token, handles_may_go_in_any_order_before_and_after_a_cancel) {
    for (const bool cancel : {false, true}) {
        for (int order = 0; order < 24; ++order) {
            std::vector<CancellationToken> chain{CancellationToken::make()};
            for (int i = 0; i < 3; ++i) chain.push_back(chain.back().child_token());
            if (cancel) chain[static_cast<std::size_t>(order % 4)].cancel();
            for (int left = 4, code = order; left > 0; --left) {
                chain.erase(chain.begin() + code % left);
                code /= left;
            }
            EXPECT_EQ(detail::live_token_nodes(), 0U) << "order " << order;
        }
    }
}

TEST(Token, a_root_is_back_at_its_baseline_after_a_million_children) {
    const auto root = CancellationToken::make();
    for (std::size_t i = 0; i < million; ++i) {
        const auto child = root.child_token();
        if (i % 3 == 0) child.cancel();
    }
    EXPECT_EQ(detail::live_token_nodes(), 1U);
    std::vector<CancellationToken> together;
    together.reserve(million);
    for (std::size_t i = 0; i < million; ++i) together.push_back(root.child_token());
    EXPECT_EQ(detail::live_token_nodes(), million + 1);
    together.clear();
    EXPECT_EQ(detail::live_token_nodes(), 1U);
    EXPECT_FALSE(root.cancelled());
}

TEST(Token, a_chain_of_a_million_keeps_two_nodes_and_needs_no_stack) {
    test::on_small_stack([] {
        const auto root = CancellationToken::make();
        auto token = root.child_token();
        for (std::size_t i = 0; i < million; ++i) token = token.child_token();
        EXPECT_EQ(detail::live_token_nodes(), 2U);
        root.cancel(CancelReason::shutdown);
        EXPECT_EQ(token.cause(), CancelReason::shutdown);
        token = {};
        EXPECT_EQ(detail::live_token_nodes(), 1U);
    });
    EXPECT_EQ(detail::live_token_nodes(), 0U);
}

/// A chain whose every node is held.
std::vector<CancellationToken> held_chain(std::size_t depth) {
    std::vector<CancellationToken> chain{CancellationToken::make()};
    chain.reserve(depth);
    for (std::size_t i = 1; i < depth; ++i) chain.push_back(chain.back().child_token());
    return chain;
}

TEST(Token, a_tree_a_million_deep_is_cancelled_and_freed_without_stack) {
    test::on_small_stack([] {
        auto chain = held_chain(million);
        chain.front().cancel(CancelReason::deadline);
        EXPECT_EQ(chain.back().cause(), CancelReason::deadline);
        EXPECT_EQ(chain[million / 2].reason(), CancelReason::parent);
        chain.clear();  // from the root down
        EXPECT_EQ(detail::live_token_nodes(), 0U);
        chain = held_chain(million);
        while (!chain.empty()) chain.pop_back();  // from the leaf up
        EXPECT_EQ(detail::live_token_nodes(), 0U);
        chain = held_chain(million);
        chain.erase(chain.begin(), chain.end() - 1);  // from the root down, not cancelled
        EXPECT_EQ(detail::live_token_nodes(), 1U);
    });
    EXPECT_EQ(detail::live_token_nodes(), 0U);
}

TEST(Token, a_guard_cancels_at_the_end_of_its_scope_unless_dismissed) {
    const auto first = CancellationToken::make();
    const auto second = CancellationToken::make();
    {
        const CancelGuard guard{first, CancelReason::peer_gone};
        CancelGuard dismissed{second};
        dismissed.dismiss();
        EXPECT_FALSE(first.cancelled());
    }
    EXPECT_EQ(first.reason(), CancelReason::peer_gone);
    EXPECT_FALSE(second.cancelled());
}

// Waiting.

using TokenWait = test::OnLoop;

Task<> wait_for(CancellationToken token) { co_await token.wait(); }

TEST_F(TokenWait, completes_when_the_token_is_cancelled_and_at_once_afterwards) {
    const auto token = CancellationToken::make();
    auto outcome = test.run(wait_for(token));
    EXPECT_FALSE(outcome.done());
    token.cancel();
    EXPECT_FALSE(outcome.done()) << "a cancel wakes, it does not run what waits";
    test.settle();
    EXPECT_TRUE(outcome.ok());
    EXPECT_TRUE(test.run(wait_for(token)).ok());
}

TEST_F(TokenWait, completes_when_a_token_above_is_cancelled) {
    const auto root = CancellationToken::make();
    auto outcome = test.run(wait_for(root.child_token().child_token()));
    root.cancel();
    test.settle();
    EXPECT_TRUE(outcome.ok());
}

TEST_F(TokenWait, never_completes_for_a_default_constructed_one_but_can_be_cancelled) {
    auto outcome = test.run(wait_for({}));
    EXPECT_FALSE(outcome.done());
    test.scope().cancel();
    test.settle();
    EXPECT_EQ(outcome.error(), ErrorCode::cancelled);
}

TEST_F(TokenWait, throws_when_the_tasks_own_token_fires) {
    const auto token = CancellationToken::make();
    auto outcome = test.run(wait_for(token));
    test.scope().cancel();
    test.settle();
    EXPECT_EQ(outcome.error(), ErrorCode::cancelled);
    token.cancel();
    test.settle();
    EXPECT_EQ(outcome.times(), 1);
    EXPECT_EQ(test.run(wait_for(CancellationToken::make())).error(), ErrorCode::cancelled)
        << "a wait that begins under a cancelled token throws, too";
}

TEST_F(TokenWait, waiting_for_the_tasks_own_token_or_one_above_it_is_answered_not_an_error) {
    const auto root = CancellationToken::make();
    test::TestLoop inner{root};
    auto own = inner.run(wait_for(inner.token()));
    auto above = inner.run(wait_for(root));
    root.cancel();
    inner.settle();
    EXPECT_TRUE(own.ok());
    EXPECT_TRUE(above.ok());
}

TEST_F(TokenWait, both_tokens_in_one_turn_wake_once_and_the_awaited_one_wins) {
    const auto token = CancellationToken::make();
    for (const bool own_first : {false, true}) {
        test::TestLoop inner{CancellationToken{}};
        const auto target = CancellationToken::make();
        auto outcome = inner.run(wait_for(target));
        own_first ? inner.scope().cancel() : target.cancel();
        own_first ? target.cancel() : inner.scope().cancel();
        inner.settle();
        EXPECT_EQ(outcome.times(), 1);
    }
}

TEST_F(TokenWait, a_cancel_of_many_wakes_each_waiter_once_in_one_turn) {
    const auto root = CancellationToken::make();
    int woken = 0;
    int woken_again = 0;
    auto waiter = [&](this auto, CancellationToken token) -> Task<> {
        co_await token.wait();
        ++woken;
        co_await test.token().wait();  // a second wake would come out here
        ++woken_again;
    };
    for (int i = 0; i < 100; ++i) test.start(waiter(i % 2 == 0 ? root : root.child_token()));
    test.settle();
    root.cancel();
    test.settle();
    EXPECT_EQ(woken, 100);
    EXPECT_EQ(woken_again, 0);
    test.finish();
    EXPECT_EQ(woken_again, 100);
}

TEST_F(TokenWait, waiters_on_another_loop_are_woken_by_a_hop_to_it) {
    test::TestLoop other;
    const auto token = CancellationToken::make();
    auto outcome = other.run(wait_for(token));
    auto canceller = [&](this auto) -> Task<> {
        token.cancel();
        co_return;
    };
    test.run(canceller());
    EXPECT_TRUE(token.cancelled());
    EXPECT_FALSE(outcome.done()) << "its own loop has not run yet";
    other.settle();
    EXPECT_TRUE(outcome.ok());
}

TEST_F(TokenWait, a_hop_that_arrives_after_the_wait_was_granted_leaves_the_task_alone) {
    test::TestLoop other;
    const auto token = CancellationToken::make();
    Event granted;
    Event never;
    int resumed = 0;
    auto second_wait = [&](this auto) -> Task<> { co_await never.wait(); };
    auto wait = [&](this auto) -> Task<> {
        co_await granted.wait();
        ++resumed;
        co_await shielded(second_wait());
        ++resumed;
    };
    auto outcome = other.run(with_token(token, wait()));
    granted.set();   // now its wake-up is on the way to the other loop
    token.cancel();  // and so is this
    other.settle();
    EXPECT_EQ(resumed, 1);
    never.set();
    other.settle();
    EXPECT_EQ(resumed, 2);
    EXPECT_TRUE(outcome.ok());
}

}  // namespace
}  // namespace stator
