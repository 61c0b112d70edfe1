#include "stator/observe/trace.hpp"

#include <string>

#include <gtest/gtest.h>

namespace stator::observe {
namespace {

constexpr std::string_view good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

TEST(TraceContext, reads_and_writes_traceparent) {
    const auto context = TraceContext::parse(good, "vendor=a,other=b");
    ASSERT_TRUE(context.has_value()) << context.error().what();
    EXPECT_EQ(context->trace_id_text(), "4bf92f3577b34da6a3ce929d0e0e4736");
    EXPECT_EQ(context->span_id_text(), "00f067aa0ba902b7");
    EXPECT_TRUE(context->is_sampled());
    EXPECT_EQ(context->state, "vendor=a,other=b");
    EXPECT_EQ(context->traceparent(), good);
    EXPECT_EQ(context->trace_id[0], std::byte{0x4b});
    EXPECT_EQ(context->span_id[7], std::byte{0xb7});
}

TEST(TraceContext, a_newer_version_is_read_as_far_as_we_know_it) {
    const std::string newer = "cc" + std::string{good.substr(2)};
    EXPECT_EQ(TraceContext::parse(newer)->traceparent(), good);
    EXPECT_EQ(TraceContext::parse(newer + "-what-ever")->traceparent(), good);
    EXPECT_FALSE(TraceContext::parse(newer + "x").has_value());
}

TEST(TraceContext, what_is_malformed_has_a_name) {
    std::vector<std::string> bad{
        "",
        "00",
        std::string{good} + "-",
        std::string{good} + "0",
        "ff" + std::string{good.substr(2)},
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
    };
    for (std::size_t i = 0; i < good.size(); ++i) {
        bad.emplace_back(good.substr(0, i));
        auto changed = std::string{good};
        changed[i] = good[i] == '-' ? '0' : 'g';
        bad.push_back(std::move(changed));
    }
    for (const auto& text : bad) {
        const auto context = TraceContext::parse(text);
        ASSERT_FALSE(context.has_value()) << text;
        EXPECT_EQ(context.error().detail(), "trace.invalid");
    }
}

TEST(TraceContext, a_bad_state_is_dropped_alone) {
    EXPECT_EQ(TraceContext::parse(good, std::string(512, 'a'))->state.size(), 512U);
    for (const auto& state :
         {std::string(513, 'a'), std::string{"a=\n"}, std::string{"a=\xc3\xa9"}}) {
        const auto context = TraceContext::parse(good, state);
        ASSERT_TRUE(context.has_value());
        EXPECT_EQ(context->state, "");
    }
}

TEST(TraceContext, a_child_is_of_the_same_trace) {
    const auto parent = TraceContext::parse(good, "a=b").value();
    const auto child = parent.child();
    EXPECT_EQ(child.trace_id, parent.trace_id);
    EXPECT_NE(child.span_id, parent.span_id);
    EXPECT_EQ(child.flags, parent.flags);
    EXPECT_EQ(child.state, "a=b");
}

TEST(TraceContext, random_ones_differ_and_read_back) {
    const auto a = TraceContext::random();
    const auto b = TraceContext::random(false);
    EXPECT_NE(a.trace_id, b.trace_id);
    EXPECT_TRUE(a.is_sampled());
    EXPECT_FALSE(b.is_sampled());
    EXPECT_EQ(TraceContext::parse(a.traceparent()), a);
    EXPECT_EQ(TraceContext::parse(b.traceparent()), b);
}

}  // namespace
}  // namespace stator::observe
