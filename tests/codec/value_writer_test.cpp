#include "stator/codec/value_writer.hpp"

#include <functional>

#include <gtest/gtest.h>

#include "stator/codec/limits.hpp"

namespace stator {
namespace {

constexpr PayloadCodec both[] = {PayloadCodec::msgpack, PayloadCodec::json};

TEST(ValueWriter, calls_that_make_no_value_are_refused) {
    const std::function<void(ValueWriter&)> wrong[] = {
        [](ValueWriter&) {},
        [](ValueWriter& w) { w.null(), w.null(); },
        [](ValueWriter& w) { w.begin_array(0); },
        [](ValueWriter& w) { w.end_array(); },
        [](ValueWriter& w) { w.begin_array(1), w.end_array(); },
        [](ValueWriter& w) { w.begin_array(1), w.null(), w.null(), w.end_array(); },
        [](ValueWriter& w) { w.begin_array(0), w.end_map(); },
        [](ValueWriter& w) { w.begin_map(1), w.null(), w.end_map(); },
        [](ValueWriter& w) { w.begin_map(1), w.end_map(); },
        [](ValueWriter& w) { w.begin_map(1), w.key("a"), w.end_map(); },
        [](ValueWriter& w) { w.begin_map(2), w.key("a"), w.key("b"), w.null(), w.end_map(); },
        [](ValueWriter& w) { w.begin_map(0), w.key("a"), w.null(), w.end_map(); },
        [](ValueWriter& w) { w.begin_map(1), w.key("a"), w.null(), w.null(), w.end_map(); },
        [](ValueWriter& w) { w.key("a"); },
        [](ValueWriter& w) { w.begin_array(1), w.key("a"), w.end_array(); },
    };
    for (const auto codec : both) {
        for (std::size_t i = 0; i < std::size(wrong); ++i) {
            ValueWriter writer{codec};
            wrong[i](writer);
            const auto bytes = writer.finish();
            ASSERT_FALSE(bytes.has_value()) << to_string(codec) << " " << i;
            EXPECT_EQ(bytes.error().detail(), "payload.structure");
        }
    }
}

TEST(ValueWriter, the_first_failure_sticks) {
    for (const auto codec : both) {
        ValueWriter writer{codec};
        writer.begin_array(2);
        writer.string("\xff");
        writer.end_map();
        writer.fail_with(Error{ErrorCode::internal, "later"});
        EXPECT_TRUE(writer.failed());
        EXPECT_EQ(writer.finish().error().detail(), "payload.utf8");
    }
}

TEST(ValueWriter, raw_holds_no_values) {
    ValueWriter writer{PayloadCodec::raw};
    writer.integer(1);
    EXPECT_EQ(writer.finish().error().detail(), "payload.codec");
}

TEST(ValueWriter, grows_as_needed) {
    for (const auto codec : both) {
        ValueWriter writer{codec, 0};
        writer.begin_array(1000);
        for (int i = 0; i < 1000; ++i) writer.string(std::string(static_cast<std::size_t>(i), 'a'));
        writer.end_array();
        const auto bytes = writer.finish();
        ASSERT_TRUE(bytes.has_value());
        EXPECT_GT(bytes->size(), 499'500U);
    }
}

TEST(ValueWriter, may_be_used_again) {
    ValueWriter writer{PayloadCodec::json};
    writer.integer(1);
    EXPECT_EQ(writer.finish().value().view(), "1");
    writer.begin_array(1);
    writer.integer(-2);
    writer.end_array();
    EXPECT_EQ(writer.finish().value().view(), "[-2]");
}

TEST(PayloadCodec, names_and_numbers_are_a_contract) {
    struct Row {
        PayloadCodec codec;
        int wire;
        const char* name;
    };
    for (const auto& row :
         {Row{PayloadCodec::msgpack, 1, "msgpack"},
          Row{PayloadCodec::json, 2, "json"},
          Row{PayloadCodec::raw, 3, "raw"}}) {
        EXPECT_EQ(static_cast<int>(row.codec), row.wire);
        EXPECT_EQ(to_string(row.codec), row.name);
        EXPECT_EQ(payload_codec_from_name(row.name), row.codec);
        EXPECT_EQ(payload_codec_from_wire(static_cast<std::uint8_t>(row.wire)), row.codec);
    }
    for (const int wire : {0, 4, 255})
        EXPECT_FALSE(payload_codec_from_wire(static_cast<std::uint8_t>(wire)).has_value());
    EXPECT_FALSE(payload_codec_from_name("JSON").has_value());
    EXPECT_FALSE(payload_codec_from_name("").has_value());
}

}  // namespace
}  // namespace stator
