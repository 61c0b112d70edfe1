#include "store/key_gates.hpp"

#include <gtest/gtest.h>

#include "stator/runtime/event.hpp"
#include "tests/runtime/loop_fixture.hpp"

namespace stator::store {
namespace {

/// Writes the key until `done` is set.
Task<> write(KeyGates* gates, std::string key, Event* done, std::string* order) {
    const auto turn = co_await gates->turn_of(key);
    *order += key;
    co_await done->wait();
}

TEST(KeyGatesTest, AKeyIsWrittenByOneAtATimeAndOthersMeanwhile) {
    test::TestLoop loop;
    KeyGates gates;
    Event first;
    Event second;
    Event other;
    std::string order;
    auto a = loop.run(write(&gates, "a", &first, &order));
    auto a2 = loop.run(write(&gates, "a", &second, &order));
    auto b = loop.run(write(&gates, "b", &other, &order));
    EXPECT_EQ(order, "ab");
    first.set();
    loop.settle();
    EXPECT_TRUE(a.done());
    EXPECT_EQ(order, "aba");
    second.set();
    other.set();
    loop.settle();
    EXPECT_TRUE(a2.done());
    EXPECT_TRUE(b.done());
}

TEST(KeyGatesTest, WhoeverGivesUpWaitingTakesNoTurn) {
    test::TestLoop loop;
    KeyGates gates;
    Event done;
    std::string order;
    auto first = loop.run(write(&gates, "a", &done, &order));
    const auto token = CancellationToken::make();
    auto second = loop.run(with_token(token, write(&gates, "a", &done, &order)));
    auto third = loop.run(write(&gates, "a", &done, &order));
    token.cancel();
    loop.settle();
    EXPECT_EQ(second.error(), ErrorCode::cancelled);
    EXPECT_FALSE(first.done());
    EXPECT_EQ(order, "a");
    done.set();
    loop.settle();
    EXPECT_TRUE(third.ok());
    EXPECT_EQ(order, "aa");
}

TEST(KeyGatesTest, KeysThatNobodyWritesAreForgotten) {
    test::TestLoop loop;
    KeyGates gates;
    Event now;
    now.set();
    std::string order;
    for (const auto* key : {"a", "b", "c", "d"}) {
        EXPECT_TRUE(loop.run(write(&gates, key, &now, &order)).ok());
        EXPECT_EQ(gates.size(), 1U);
    }
}

}  // namespace
}  // namespace stator::store
