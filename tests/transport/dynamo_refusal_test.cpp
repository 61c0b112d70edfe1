#include "stator/transport/dynamo_refusal.hpp"

#include <string>

#include <gtest/gtest.h>

namespace stator::transport {
namespace {

std::span<const std::byte> bytes(std::string_view text) { return std::as_bytes(std::span{text}); }

std::string request(std::size_t path, std::size_t headers, std::size_t payload) {
    std::string frame;
    frame += {static_cast<char>(path >> 8U), static_cast<char>(path)};
    frame += std::string(path, 'p');
    frame += {static_cast<char>(headers >> 8U), static_cast<char>(headers)};
    frame += std::string(headers, 'h');
    for (unsigned shift : {24U, 16U, 8U, 0U}) frame += static_cast<char>(payload >> shift);
    return frame + std::string(payload, 'x');
}

TEST(DynamoFrameCounter, CountsFramesHoweverTheyAreCut) {
    const auto frames = request(39, 159, 381) + request(1, 0, 0) + request(1024, 2, 70'000);
    for (const std::size_t step :
         {std::size_t{1}, std::size_t{7}, std::size_t{4096}, frames.size()}) {
        DynamoFrameCounter counter;
        std::size_t ended = 0;
        for (std::size_t at = 0; at < frames.size(); at += step) {
            ended += counter.feed(bytes(std::string_view{frames}.substr(at, step))).value();
        }
        EXPECT_EQ(ended, 3U) << "in steps of " << step;
    }
}

TEST(DynamoFrameCounter, AFrameCutAnywhereIsNotCounted) {
    const auto frame = request(3, 2, 5);
    for (std::size_t cut = 0; cut < frame.size(); ++cut) {
        DynamoFrameCounter counter;
        EXPECT_EQ(counter.feed(bytes(std::string_view{frame}.substr(0, cut))).value(), 0U) << cut;
        EXPECT_EQ(counter.feed(bytes(std::string_view{frame}.substr(cut))).value(), 1U) << cut;
    }
}

TEST(DynamoFrameCounter, RefusesHostileLengths) {
    for (const auto& [path, payload] :
         {std::pair{0, 1}, std::pair{1025, 1}, std::pair{1, (32 << 20) + 1}}) {
        DynamoFrameCounter counter;
        auto head = request(static_cast<std::size_t>(path), 0, 0);
        head.resize(head.size() - 4);
        for (unsigned shift : {24U, 16U, 8U, 0U}) head += static_cast<char>(payload >> shift);
        const auto ended = counter.feed(bytes(head));
        ASSERT_FALSE(ended.has_value()) << path << " " << payload;
        EXPECT_EQ(ended.error().detail(), "dynamo.bad_frame");
    }
}

TEST(DynamoAck, IsLengthThenText) {
    const auto ack = dynamo_unavailable_ack("why");
    EXPECT_EQ(ack, (std::string{0, 0, 0, 23} + "Server unavailable: why"));
}

}  // namespace
}  // namespace stator::transport
