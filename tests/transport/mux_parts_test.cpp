// The parts below the session: the credit books, the stream table, output and input buffers.
#include <deque>
#include <set>

#include "stator/base/random.hpp"
#include "tests/transport/mux_support.hpp"
#include "transport/mux_id_queue.hpp"
#include "transport/mux_input.hpp"
#include "transport/mux_ledger.hpp"
#include "transport/mux_output.hpp"
#include "transport/mux_streams.hpp"

namespace stator::transport::test {
namespace {

using mux::Ledger;
using mux::StreamBook;

MuxConfig small_windows() {
    MuxConfig config;
    config.window = 1 << 20;
    config.memory_limit = 2 << 20;
    config.large_budget = 4 << 20;
    config.max_message = 2 << 20;
    config.least_window = 16 << 10;
    config.most_window = 64 << 10;
    return config;
}

TEST(MuxLedger, GivesBackInStepsWorthAFrame) {
    Ledger ledger{small_windows()};
    EXPECT_EQ(ledger.stream_target(), 64U << 10U);
    StreamBook book{.balance = 64 << 10};
    ledger.charge(book, 8'000, false);
    ledger.taken(book, 8'000);
    EXPECT_EQ(ledger.stream_due(book), 0U);
    ledger.charge(book, 25'000, false);
    EXPECT_EQ(ledger.stream_due(book), 0U);
    ledger.taken(book, 25'000);
    EXPECT_EQ(ledger.stream_due(book), 33'000U);
    Ledger::give(book, 33'000);
    EXPECT_EQ(book.balance, 64 << 10);
    EXPECT_EQ(ledger.connection_due(), 0U);
    ledger.charge_dropped(491'000);
    EXPECT_EQ(ledger.connection_due(), 0U);
    ledger.charge_dropped(300);
    EXPECT_EQ(ledger.connection_due(), 524'300U);
}

TEST(MuxLedger, StalledStreamsShrinkTheTargetNotTheFloor) {
    Ledger ledger{small_windows()};
    std::vector<StreamBook> books(31);
    for (auto& book : books) {
        book.balance = 64 << 10;
        ledger.charge(book, 64 << 10, false);
        if (const auto due = ledger.connection_due(); due > 0) ledger.give(due);
        ASSERT_GE(ledger.balance(), 64 << 10) << "stalled streams stop the connection";
    }
    EXPECT_EQ(ledger.held(), std::uint64_t{31} << 16U);
    EXPECT_EQ(ledger.stream_target(), 16U << 10U);
    // Up to M and no further.
    StreamBook last{.balance = 64 << 10};
    ledger.charge(last, 64 << 10, false);
    EXPECT_EQ(ledger.connection_due(), 0U);
    EXPECT_LE(ledger.balance() + static_cast<std::int64_t>(ledger.held()), 3 << 20);
    for (auto& book : books) ledger.forget(book);
    ledger.forget(last);
    EXPECT_EQ(ledger.held(), 0U);
    ledger.give(ledger.connection_due());
    EXPECT_EQ(ledger.balance(), 1 << 20);
}

TEST(MuxLedger, ReservationsAreInTurnOutsideOfHeld) {
    Ledger ledger{small_windows()};
    StreamBook book{.balance = 10'000};
    ledger.charge(book, 500, false);
    EXPECT_TRUE(ledger.reserve(book, 1 << 20));
    ledger.charge(book, 9'500, true);
    EXPECT_EQ(ledger.held(), 500U);
    EXPECT_EQ(ledger.reserved(), 1U << 20U);
    EXPECT_EQ(ledger.stream_due(book), (1U << 20U) - 9'500);
    ledger.taken(book, 500);
    EXPECT_EQ(ledger.held(), 0U);
    EXPECT_EQ(ledger.reserved(), 1U << 20U);
    Ledger::give(book, ledger.stream_due(book));
    ledger.charge(book, (1U << 20U) - 9'500, false);
    EXPECT_EQ(book.held, 1U << 20U);
    EXPECT_EQ(ledger.stream_due(book), 0U);
    ledger.taken(book, 1U << 20U);
    EXPECT_EQ(ledger.reserved(), 0U);
    EXPECT_EQ(book.held, 0U);
    EXPECT_EQ(ledger.stream_due(book), 64U << 10U);

    StreamBook other{.balance = 10'000};
    EXPECT_TRUE(ledger.reserve(book, 3 << 20));
    EXPECT_FALSE(ledger.reserve(other, 2 << 20));
    ledger.forget(book);
    EXPECT_TRUE(ledger.reserve(other, 2 << 20));
}

/// The books of one receiver, kept in the dullest way, to compare with.
struct PlainStream {
    StreamBook book;
    std::deque<std::uint64_t> complete;  ///< charges of messages not taken
    std::uint64_t incomplete = 0;
    std::uint64_t total = 0;  ///< charge of the incomplete message, once it is whole
    bool reserved = false;
};

TEST(MuxLedger, RandomSchedulesNeverLeak) {
    for (std::uint64_t seed = 0; seed < 300; ++seed) {
        Random random{seed};
        Ledger ledger{small_windows()};
        std::vector<PlainStream> streams(6);
        for (auto& stream : streams) stream.book.balance = 100'000;
        for (int step = 0; step < 600; ++step) {
            auto& s = streams[random.below(streams.size())];
            const auto action = random.below(6);
            if (action < 3) {
                const bool begins = s.total == 0;
                if (begins) {
                    s.total = 33 + random.below(random.below(4) == 0 ? 1'000'000 : 3'000);
                    if (static_cast<std::int64_t>(s.total) > s.book.balance) {
                        s.reserved = ledger.reserve(s.book, s.total);
                    }
                }
                const auto left = s.total - s.incomplete;
                auto part = std::min<std::uint64_t>(left, 33 + random.below(60'000));
                part = std::min(
                    part, static_cast<std::uint64_t>(std::max<std::int64_t>(s.book.balance, 0))
                );
                if (part == 0 || !ledger.covers(part)) {
                    if (begins && !s.reserved) s.total = 0;
                } else {
                    s.incomplete += part;
                    ledger.charge(s.book, part, s.incomplete < s.total);
                    if (s.incomplete == s.total) {
                        s.complete.push_back(s.total);
                        s.total = s.incomplete = 0;
                        s.reserved = false;
                    }
                }
            } else if (action == 3 && !s.complete.empty()) {
                ledger.taken(s.book, s.complete.front());
                s.complete.pop_front();
            } else if (action == 4) {
                if (const auto due = ledger.stream_due(s.book); due > 0) Ledger::give(s.book, due);
                if (const auto due = ledger.connection_due(); due > 0) ledger.give(due);
            } else if (random.below(10) == 0) {
                ledger.forget(s.book);
                s = PlainStream{};
                s.book.balance = 100'000;
            }
            ASSERT_GE(ledger.balance(), 0);
            ASSERT_LE(ledger.held(), 8U << 20U) << "wrapped";
            ASSERT_LE(ledger.reserved(), 4U << 20U);
        }
        for (auto& s : streams) {
            while (!s.complete.empty()) {
                ledger.taken(s.book, s.complete.front());
                s.complete.pop_front();
            }
            EXPECT_EQ(s.book.held, s.incomplete);
            EXPECT_EQ(s.book.reserved, s.reserved ? s.total : 0);
            ledger.drop_incomplete(s.book);
            EXPECT_EQ(s.book.held, 0U);
            EXPECT_EQ(s.book.reserved, 0U);
        }
        ASSERT_EQ(ledger.held(), 0U) << seed;
        ASSERT_EQ(ledger.reserved(), 0U) << seed;
        if (const auto due = ledger.connection_due(); due > 0) ledger.give(due);
        EXPECT_GT(ledger.balance(), 512 << 10);
    }
}

TEST(MuxStreams, AgainstAMap) {
    for (std::uint64_t seed = 0; seed < 20; ++seed) {
        Random random{seed};
        mux::Streams table{seed};
        std::map<StreamId, mux::Stream*> model;
        StreamId next = 1;
        for (int step = 0; step < 5'000; ++step) {
            if (random.below(5) < 3) {
                auto& stream = table.insert(next);
                EXPECT_FALSE(stream.over);
                stream.over = true;
                model[next] = &stream;
                next +=
                    2 * static_cast<StreamId>(1 + random.below(random.below(9) == 0 ? 70'000 : 2));
            } else if (!model.empty()) {
                auto at = model.lower_bound(static_cast<StreamId>(random.below(next)));
                if (at == model.end()) at = model.begin();
                table.erase(*at->second);
                model.erase(at);
            }
            const auto probe = static_cast<StreamId>(random.below(next)) | 1U;
            const auto found = model.find(probe);
            ASSERT_EQ(table.find(probe), found == model.end() ? nullptr : found->second);
        }
        EXPECT_EQ(table.size(), model.size());
        std::vector<StreamId> ids;
        for (const auto& [id, stream] : model) {
            ids.push_back(id);
            ASSERT_EQ(table.find(id), stream) << "a slot moved";
        }
        EXPECT_EQ(table.ids(), ids);
    }
}

TEST(MuxIdQueue, IsAQueue) {
    Random random{1};
    mux::IdQueue queue;
    std::deque<StreamId> model;
    for (StreamId i = 0; i < 10'000; ++i) {
        if (random.below(2) == 0) {
            queue.push(i);
            model.push_back(i);
        } else if (!model.empty()) {
            ASSERT_EQ(queue.front(), model.front());
            queue.pop();
            model.pop_front();
        }
        if (i % 500 == 0) {
            queue.keep_if([](StreamId id) { return id % 3 != 0; });
            std::erase_if(model, [](StreamId id) { return id % 3 == 0; });
        }
        ASSERT_EQ(queue.size(), model.size());
        ASSERT_EQ(queue.empty(), model.empty());
    }
}

TEST(MuxOutputQueue, OrderAcrossChunksAndBodies) {
    Random random{3};
    mux::Output output;
    std::string expected;
    std::string written;
    for (int i = 0; i < 3'000; ++i) {
        const auto size = 1 + random.below(random.below(20) == 0 ? 90'000 : 300);
        const std::string text(size, static_cast<char>('a' + i % 26));
        if (random.below(10) == 0) {
            output.refer(Bytes::copy_of(text));
        } else {
            std::memcpy(output.extend(size), text.data(), size);
        }
        expected += text;
        if (random.below(4) != 0) continue;
        std::array<iovec, 3> vectors{};
        const auto count = output.gather(vectors);
        std::string given;
        for (std::size_t k = 0; k < count; ++k) {
            given.append(static_cast<const char*>(vectors[k].iov_base), vectors[k].iov_len);
        }
        const auto part = random.below(given.size() + 1);
        written += given.substr(0, part);
        output.written(part);
    }
    std::array<iovec, 8> vectors{};
    while (const auto count = output.gather(vectors)) {
        std::size_t total = 0;
        for (std::size_t k = 0; k < count; ++k) {
            written.append(static_cast<const char*>(vectors[k].iov_base), vectors[k].iov_len);
            total += vectors[k].iov_len;
        }
        output.written(total);
    }
    EXPECT_TRUE(written == expected);
    EXPECT_TRUE(output.empty());
    EXPECT_EQ(output.total_written(), expected.size());
}

TEST(MuxOutputQueue, BodiesAreLetGoWhenWritten) {
    mux::Output output;
    auto* buffer = Buffer::allocate(20'000);
    auto body = Bytes::adopt(buffer, 20'000);
    output.refer(body);
    EXPECT_FALSE(buffer->unique());
    output.written(19'999);
    EXPECT_FALSE(buffer->unique());
    output.written(1);
    EXPECT_TRUE(buffer->unique());
    output.refer(body);
    output.clear();
    EXPECT_TRUE(buffer->unique());
}

std::size_t space_of(mux::Input& input) {
    std::array<iovec, 2> space{};
    const auto count = input.space(space);
    std::size_t total = 0;
    for (std::size_t i = 0; i < count; ++i) total += space[i].iov_len;
    return total;
}

TEST(MuxInput, IsSmallUntilTheHandshakeAndReusesItsBlock) {
    mux::Input input{64 << 10};
    EXPECT_LE(space_of(input), 4096U);
    input.grow();
    EXPECT_EQ(space_of(input), 64U << 10U);
    const auto* first = input.data();
    for (int i = 0; i < 10; ++i) {
        input.received(60'000);
        input.consume(60'000);
        EXPECT_EQ(space_of(input), 64U << 10U);
        EXPECT_EQ(input.data(), first);
    }
}

TEST(MuxInput, ABlockThatIsHeldIsNotWrittenAgain) {
    mux::Input input{64 << 10};
    input.grow();
    std::array<iovec, 2> space{};
    std::vector<Bytes> held;
    for (int i = 0; i < 40; ++i) {
        ASSERT_EQ(input.space(space), 1U);
        ASSERT_GE(space[0].iov_len, 10'000U);
        std::memset(space[0].iov_base, 'a' + i, 10'000);
        input.received(10'000);
        held.push_back(input.slice(input.data(), 10'000));
        input.consume(10'000);
    }
    for (int i = 0; i < 40; ++i) {
        const auto at = static_cast<std::size_t>(i);
        EXPECT_EQ(held[at].view(), std::string(10'000, static_cast<char>('a' + i)));
    }
    std::set<std::size_t> sizes;
    for (const auto& bytes : held) sizes.insert(bytes.held());
    EXPECT_EQ(sizes, std::set<std::size_t>{64U << 10U});
}

TEST(MuxInput, ALargeFrameGetsABlockOfItsSize) {
    mux::Input input{16 << 10};
    input.grow();
    std::array<iovec, 2> space{};
    input.space(space);
    std::memset(space[0].iov_base, 'x', 100);
    input.received(100);
    input.make_room(50'000);
    ASSERT_EQ(input.space(space), 1U);
    EXPECT_EQ(space[0].iov_len, 49'900U);
    EXPECT_EQ(text_of({input.data(), 100}), std::string(100, 'x'));
}

TEST(MuxInput, DirectsTheRestOfABody) {
    mux::Input input{16 << 10};
    input.grow();
    std::array<iovec, 2> space{};
    input.space(space);
    std::memcpy(space[0].iov_base, "headBODY", 8);
    input.received(8);
    input.consume(4);
    auto* target = Buffer::allocate(100);
    input.direct(target, target->data(), 10);
    ASSERT_EQ(input.space(space), 2U);
    EXPECT_EQ(space[0].iov_len, 6U);
    EXPECT_EQ(space[0].iov_base, target->data() + 4);
    std::memcpy(space[0].iov_base, "012345", 6);
    std::memcpy(space[1].iov_base, "next", 4);
    EXPECT_TRUE(input.received(10));
    EXPECT_FALSE(input.directing());
    EXPECT_EQ(text_of({target->data(), 10}), "BODY012345");
    EXPECT_EQ(text_of({input.data(), input.size()}), "next");
    EXPECT_TRUE(target->unique());
    target->release();
}

}  // namespace
}  // namespace stator::transport::test
