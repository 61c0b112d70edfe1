#include "stator/base/names.hpp"

#include <string>
#include <unordered_set>

#include <gtest/gtest.h>

#include "stator/base/text.hpp"

namespace stator {
namespace {

TEST(Names, hold_only_lower_case_digits_dash_and_underscore) {
    for (const auto* name :
         {"a", "0", "-", "_", "my-ns_2", "abcdefghijklmnopqrstuvwxyz0123456789-_"}) {
        EXPECT_TRUE(is_valid_name(name)) << name;
        EXPECT_TRUE(check_name("component", name).has_value()) << name;
    }
    for (const auto* name : {"", "A", "a.b", "a/b", "a b", "\xc3\xa9", "a%"}) {
        EXPECT_FALSE(is_valid_name(name)) << name;
    }
    EXPECT_FALSE(is_valid_name(std::string_view{"a\0b", 3}));
}

TEST(Names, a_bad_one_is_named_in_the_error) {
    const auto bad = check_name("component", "Back\nEnd");
    ASSERT_FALSE(bad.has_value());
    EXPECT_EQ(bad.error().code(), ErrorCode::invalid_request);
    EXPECT_EQ(bad.error().detail(), "name.invalid");
    EXPECT_EQ(bad.error().message(), R"(the component "Back\x0aEnd" may hold only a-z 0-9 - _)");
    EXPECT_EQ(check_name("endpoint", "").error().message(), "the endpoint is empty");
}

TEST(Names, namespaces_nest) {
    EXPECT_TRUE(check_namespace("a").has_value());
    EXPECT_TRUE(check_namespace("a.b-2.c_3").has_value());
    for (const auto* name : {"", ".", "a.", ".a", "a..b", "a.B"}) {
        EXPECT_FALSE(check_namespace(name).has_value()) << name;
    }
}

TEST(Slug, replaces_what_is_not_allowed) {
    struct Row {
        std::string_view text;
        std::string_view slug;
    };
    constexpr Row rows[] = {
        {"hello", "hello"},
        {"Hello World", "hello_world"},
        {"ns_comp", "ns_comp"},
        {"a-b_c.9", "a-b_c_9"},
        {"__lead", "lead"},
        {"/path/to", "path_to"},
        {"tail_", "tail_"},
        {"", ""},
        {"___", ""},
        {"Qwen/Qwen3-0.6B", "qwen_qwen3-0_6b"},
        {"h\xc3\xa9llo", "h_llo"},             // one character, one underscore
        {"\xe6\x97\xa5\xe6\x9c\xac-x", "-x"},  // both dropped as leading underscores
        {"a\xf0\x9f\x98\x80z", "a_z"},
        {"\xe2\x84\xaa", "k"},
        {"x\xc4\xb0", "xi_"},
        {"a\xff\xc3", "a__"},  // not UTF-8: byte by byte
        {"a\xe6\x97", "a__"},  // cut short
        {"a\xf8\x88\x80\x80\x80", "a_____"},
    };
    for (const auto& row : rows) {
        EXPECT_EQ(Slug::from_text(row.text).text(), row.slug) << quoted_text(row.text);
    }
}

TEST(Slug, strict_parsing_refuses_what_would_change) {
    EXPECT_EQ(Slug::parse("a-b_9").value().text(), "a-b_9");
    for (const auto* text : {"", "A", "a b", "a.b"}) {
        const auto slug = Slug::parse(text);
        ASSERT_FALSE(slug.has_value()) << text;
        EXPECT_EQ(slug.error().detail(), "name.invalid");
    }
}

struct PathRow {
    std::string_view text;
    std::string_view ns;
    std::string_view component;
    std::string_view endpoint;
};

void expect_same(const EndpointId& id, const PathRow& row) {
    EXPECT_EQ(id.namespace_, row.ns) << row.text;
    EXPECT_EQ(id.component, row.component) << row.text;
    EXPECT_EQ(id.endpoint, row.endpoint) << row.text;
}

TEST(EndpointId, strict_paths) {
    constexpr PathRow rows[] = {
        {"demo.backend.generate", "demo", "backend", "generate"},
        {"dyn://demo.backend.generate", "demo", "backend", "generate"},
        {"a.b.c.d", "a.b", "c", "d"},
        {"a.b-1.c_2.d.e", "a.b-1.c_2", "d", "e"},
    };
    for (const auto& row : rows) {
        const auto id = EndpointId::parse(row.text);
        ASSERT_TRUE(id.has_value()) << id.error().what();
        expect_same(*id, row);
        EXPECT_EQ(EndpointId::parse(id->to_string()), *id);
        EXPECT_EQ(EndpointId::parse(id->to_url()), *id);
    }
}

TEST(EndpointId, bad_paths_have_named_errors) {
    struct Row {
        std::string text;
        std::string_view detail;
    };
    const Row rows[] = {
        {"", "name.path"},
        {"dyn://", "name.path"},
        {"demo", "name.path"},
        {"demo.backend", "name.path"},
        {".generate", "name.path"},
        {"demo/backend/generate", "name.path"},
        {"..", "name.invalid"},
        {"demo..generate", "name.invalid"},
        {"demo.backend.", "name.invalid"},
        {".backend.generate", "name.invalid"},
        {"a..b.c.d", "name.invalid"},
        {"Demo.backend.generate", "name.invalid"},
        {"demo.back end.generate", "name.invalid"},
        {"dyn://dyn://a.b.c", "name.invalid"},
        {"http://a.b.c", "name.invalid"},
        {"a.b.c\n", "name.invalid"},
        {"a.b." + std::string(max_endpoint_id_size, 'x'), "name.path"},
    };
    for (const auto& row : rows) {
        const auto id = EndpointId::parse(row.text);
        ASSERT_FALSE(id.has_value()) << row.text;
        EXPECT_EQ(id.error().code(), ErrorCode::invalid_request) << row.text;
        EXPECT_EQ(id.error().detail(), row.detail) << row.text;
    }
    const auto fits = "a.b." + std::string(max_endpoint_id_size - 4, 'x');
    EXPECT_TRUE(EndpointId::parse(fits).has_value());
}

TEST(EndpointId, the_lenient_parser_never_fails) {
    constexpr PathRow rows[] = {
        {"", "NS", "C", "E"},
        {" /. ", "NS", "C", "E"},
        {"component1", "NS", "component1", "E"},
        {"/component1/", "NS", "component1", "E"},
        {"ns1.component1", "ns1", "component1", "E"},
        {"ns1.component1.endpoint1", "ns1", "component1", "endpoint1"},
        {"ns1/component1/endpoint1", "ns1", "component1", "endpoint1"},
        {"ns1.component1/endpoint1", "ns1", "component1", "endpoint1"},
        {"dyn://ns1.component1.endpoint1", "ns1", "component1", "endpoint1"},
        {" ..ns1..component1//endpoint1. ", "ns1", "component1", "endpoint1"},
        {"a.b.c.d.e", "a", "b", "c_d_e"},
        {"A B.C/d", "A B", "C", "d"},
    };
    for (const auto& row : rows) expect_same(EndpointId::parse_lenient(row.text), row);
    EXPECT_FALSE(EndpointId::parse_lenient("A.b.c").check().has_value());
}

TEST(EndpointId, its_spellings) {
    const EndpointId id{"a.b", "c", "d"};
    EXPECT_EQ(id.to_string(), "a.b.c.d");
    EXPECT_EQ(id.to_url(), "dyn://a.b.c.d");
    EXPECT_EQ(id.to_path(), "a.b/c/d");
}

TEST(EndpointId, is_a_key_by_all_its_parts) {
    const std::unordered_set<EndpointId> ids{
        {"a", "b", "c"}, {"a", "c", "b"}, {"b", "a", "c"}, {"a.b", "c", "d"}, {"a", "b", "c"}
    };
    EXPECT_EQ(ids.size(), 4U);
    const std::hash<EndpointId> hash;
    EXPECT_NE(hash({"a", "b", "c"}), hash({"a", "c", "b"}));
    EXPECT_LT((EndpointId{"a", "b", "c"}), (EndpointId{"a", "b", "d"}));
}

TEST(QuotedText, shows_foreign_text_on_one_line) {
    EXPECT_EQ(quoted_text("plain"), "\"plain\"");
    EXPECT_EQ(quoted_text("a\"b\\\n\x01\xff"), R"("a\x22b\x5c\x0a\x01\xff")");
    EXPECT_EQ(quoted_text("abcdef", 3), "\"abc...\"");
}

}  // namespace
}  // namespace stator
