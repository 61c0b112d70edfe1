#include "stator/runtime/channel.hpp"

#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/runtime/loop_fixture.hpp"

namespace stator {
namespace {

using ChannelTest = test::OnLoop;

Task<bool> send(Channel<int>* channel, int item) { co_return co_await channel->send(item); }
Task<std::optional<int>> receive(Channel<int>* channel) { co_return co_await channel->receive(); }

std::vector<int> drain(Channel<int>& channel) {
    std::vector<int> items;
    while (auto item = channel.try_receive()) items.push_back(*item);
    return items;
}

TEST_F(ChannelTest, items_come_out_in_the_order_in_which_they_went_in) {
    Channel<int> channel{3};
    EXPECT_EQ(channel.capacity(), 3U);
    for (int round = 0; round < 5; ++round) {  // round and round the ring
        for (int i = 0; i < 2; ++i) EXPECT_TRUE(channel.try_send(10 * round + i));
        EXPECT_EQ(channel.size(), 2U);
        EXPECT_EQ(drain(channel), (std::vector{10 * round, 10 * round + 1}));
    }
    EXPECT_EQ(Channel<int>{0}.capacity(), 1U);
}

TEST_F(ChannelTest, try_send_takes_the_item_only_when_there_is_room) {
    Channel<std::unique_ptr<int>> channel{1};
    auto item = std::make_unique<int>(1);
    EXPECT_TRUE(channel.try_send(item));
    EXPECT_EQ(item, nullptr);
    item = std::make_unique<int>(2);
    EXPECT_FALSE(channel.try_send(item));
    EXPECT_NE(item, nullptr);
    EXPECT_EQ(**channel.try_receive(), 1);
    channel.close();
    EXPECT_FALSE(channel.try_send(item));
    EXPECT_NE(item, nullptr);
}

TEST_F(ChannelTest, a_full_channel_makes_senders_wait_in_order) {
    Channel<int> channel{2};
    std::vector<test::Outcome<bool>> sends;
    for (int i = 0; i < 5; ++i) sends.push_back(test.run(send(&channel, i)));
    EXPECT_TRUE(sends[1].done());
    EXPECT_FALSE(sends[2].done());
    EXPECT_EQ(channel.size(), 2U);
    EXPECT_FALSE(channel.try_send(99)) << "nobody goes past those who wait";
    EXPECT_EQ(channel.try_receive(), 0);
    EXPECT_FALSE(channel.try_send(99));
    test.settle();
    EXPECT_TRUE(sends[2].done());
    EXPECT_FALSE(sends[3].done());
    EXPECT_EQ(drain(channel), (std::vector{1, 2, 3, 4}));
    test.settle();
    for (auto& sent : sends) EXPECT_TRUE(sent.value());
}

TEST_F(ChannelTest, an_item_goes_to_the_receiver_that_waited_longest) {
    Channel<int> channel{2};
    auto first = test.run(receive(&channel));
    auto second = test.run(receive(&channel));
    EXPECT_TRUE(channel.try_send(1));
    EXPECT_EQ(channel.size(), 0U) << "handed over, not stored";
    EXPECT_FALSE(channel.try_receive().has_value());
    test.settle();
    EXPECT_EQ(first.value(), 1);
    EXPECT_FALSE(second.done());
    test.run(send(&channel, 2));
    EXPECT_EQ(second.value(), 2);
}

TEST_F(ChannelTest, close_gives_what_is_left_and_then_nothing) {
    Channel<int> channel{2};
    EXPECT_TRUE(channel.try_send(1));
    EXPECT_TRUE(channel.try_send(2));
    auto waiting = test.run(send(&channel, 3));
    EXPECT_FALSE(channel.closed());
    channel.close();
    channel.close();
    EXPECT_TRUE(channel.closed());
    test.settle();
    EXPECT_FALSE(waiting.value());
    EXPECT_FALSE(test.run(send(&channel, 4)).value());
    EXPECT_EQ(test.run(receive(&channel)).value(), 1);
    EXPECT_EQ(test.run(receive(&channel)).value(), 2);
    EXPECT_EQ(test.run(receive(&channel)).value(), std::nullopt);
    EXPECT_EQ(test.run(receive(&channel)).value(), std::nullopt);
}

TEST_F(ChannelTest, close_ends_waiting_receivers) {
    Channel<int> channel{1};
    auto first = test.run(receive(&channel));
    auto second = test.run(receive(&channel));
    channel.close();
    test.settle();
    EXPECT_EQ(first.value(), std::nullopt);
    EXPECT_EQ(second.value(), std::nullopt);
}

TEST_F(ChannelTest, a_cancelled_receiver_takes_nothing_and_the_next_one_gets_the_item) {
    Channel<int> channel{1};
    const auto token = CancellationToken::make();
    auto cancelled = test.run(with_token(token, receive(&channel)));
    auto next = test.run(receive(&channel));
    token.cancel();
    test.settle();
    EXPECT_EQ(cancelled.error(), ErrorCode::cancelled);
    EXPECT_TRUE(channel.try_send(1));
    test.settle();
    EXPECT_EQ(next.value(), 1);
}

TEST_F(ChannelTest, a_cancelled_sender_sends_nothing_and_keeps_its_place_for_nobody) {
    Channel<int> channel{1};
    const auto token = CancellationToken::make();
    EXPECT_TRUE(channel.try_send(0));
    auto cancelled = test.run(with_token(token, send(&channel, 1)));
    auto next = test.run(send(&channel, 2));
    token.cancel();
    test.settle();
    EXPECT_EQ(cancelled.error(), ErrorCode::cancelled);
    EXPECT_EQ(drain(channel), (std::vector{0, 2}));
    test.settle();
    EXPECT_TRUE(next.value());
}

TEST_F(ChannelTest, what_was_granted_before_the_cancel_is_delivered) {
    Channel<int> channel{1};
    const auto token = CancellationToken::make();
    auto receiver = test.run(with_token(token, receive(&channel)));
    EXPECT_TRUE(channel.try_send(1));
    token.cancel();
    test.settle();
    EXPECT_EQ(receiver.value(), 1) << "or the item would be lost";

    EXPECT_TRUE(channel.try_send(2));
    const auto other = CancellationToken::make();
    auto sender = test.run(with_token(other, send(&channel, 3)));
    EXPECT_EQ(channel.try_receive(), 2);
    other.cancel();
    test.settle();
    EXPECT_TRUE(sender.value()) << "or a sender would send it again";
    EXPECT_EQ(channel.try_receive(), 3);
}

TEST_F(ChannelTest, under_a_cancelled_token_only_a_wait_throws) {
    Channel<int> channel{1};
    const auto token = CancellationToken::make();
    token.cancel();
    EXPECT_TRUE(test.run(with_token(token, send(&channel, 1))).value());
    EXPECT_EQ(test.run(with_token(token, send(&channel, 2))).error(), ErrorCode::cancelled);
    EXPECT_EQ(test.run(with_token(token, receive(&channel))).value(), 1);
    EXPECT_EQ(test.run(with_token(token, receive(&channel))).error(), ErrorCode::cancelled);
    EXPECT_EQ(channel.size(), 0U);
}

TEST_F(ChannelTest, items_left_in_it_die_with_it_and_no_earlier) {
    const auto item = std::make_shared<int>(1);
    {
        Channel<std::shared_ptr<int>> channel{4};
        EXPECT_TRUE(channel.try_send(std::shared_ptr{item}));
        EXPECT_TRUE(channel.try_send(std::shared_ptr{item}));
        EXPECT_TRUE(channel.try_receive().has_value());
        EXPECT_EQ(item.use_count(), 2) << "the place of an item that was taken is empty";
    }
    EXPECT_EQ(item.use_count(), 1);
}

Task<> produce(Channel<int>* channel, int first, int count) {
    for (int i = 0; i < count; ++i) EXPECT_TRUE(co_await channel->send(first + i));
}

Task<> consume(Channel<int>* channel, std::vector<int>* seen) {
    while (auto item = co_await channel->receive()) seen->push_back(*item);
}

TEST_F(ChannelTest, producers_and_consumers_lose_and_double_nothing_at_any_capacity) {
    for (const std::size_t capacity : {1, 2, 64}) {
        Channel<int> channel{capacity};
        std::vector<int> left;
        std::vector<int> right;
        test.start(consume(&channel, &left));
        test.start(consume(&channel, &right));
        test.start(produce(&channel, 0, 1000));
        test.start(produce(&channel, 1000, 1000));
        test.settle();
        channel.close();
        test.settle();
        std::vector<int> count(2000);
        for (const auto* seen : {&left, &right}) {
            int last_low = -1;
            int last_high = -1;
            for (const int item : *seen) {
                ++count[static_cast<std::size_t>(item)];
                int& last = item < 1000 ? last_low : last_high;
                EXPECT_LT(last, item) << "each producer's items stay in order";
                last = item;
            }
        }
        EXPECT_EQ(count, std::vector<int>(2000, 1));
    }
}

TEST_F(ChannelTest, connects_loops) {
    test::TestLoop other;
    Channel<int> channel{1};
    std::vector<int> seen;
    other.start(consume(&channel, &seen));
    auto produced = test.start(produce(&channel, 0, 10));
    for (int turns = 0; turns < 20; ++turns) {
        test.settle();
        other.settle();
    }
    EXPECT_TRUE(produced.ok());
    EXPECT_EQ(seen, (std::vector{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}));
    channel.close();
    other.settle();
}

}  // namespace
}  // namespace stator
