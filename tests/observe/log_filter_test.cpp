#include "stator/observe/log_filter.hpp"

#include <string>

#include <gtest/gtest.h>

namespace stator::observe {
namespace {

constexpr Severity severities[] = {
    Severity::trace, Severity::debug, Severity::info, Severity::warn, Severity::error
};

/// The lowest severity that passes; 5 if none does.
int lowest(const LogFilter& filter, std::string_view target) {
    int level = 0;
    for (const auto severity : severities) {
        if (filter.allows(severity, target)) return level;
        ++level;
    }
    return level;
}

TEST(LogFilter, the_longest_enclosing_target_decides) {
    const auto filter =
        LogFilter::parse("warn,stator=info,stator::transport=trace,stator::net=off,h2=error");
    ASSERT_TRUE(filter.has_value()) << filter.error().what();
    EXPECT_EQ(lowest(*filter, "app"), 3);
    EXPECT_EQ(lowest(*filter, ""), 3);
    EXPECT_EQ(lowest(*filter, "stator"), 2);
    EXPECT_EQ(lowest(*filter, "stator::store"), 2);
    EXPECT_EQ(lowest(*filter, "stator::transport"), 0);
    EXPECT_EQ(lowest(*filter, "stator::transport::mux"), 0);
    EXPECT_EQ(lowest(*filter, "stator::transporter"), 2) << "not enclosed, only spelled alike";
    EXPECT_EQ(lowest(*filter, "statorx"), 3);
    EXPECT_EQ(lowest(*filter, "stator::net"), 5);
    EXPECT_EQ(lowest(*filter, "h2"), 4);
    EXPECT_EQ(filter->threshold(), 0);
}

TEST(LogFilter, spellings) {
    struct Row {
        const char* text;
        int everything;
        int of_a;
    };
    for (const auto& row : {
             Row{"", 4, 4},
             Row{",", 4, 4},
             Row{"info", 2, 2},
             Row{"INFO", 2, 2},
             Row{" debug , a = Error ", 1, 4},
             Row{"off", 5, 5},
             Row{"a", 4, 0},
             Row{"a=debug", 4, 1},
             Row{"a=debug,a=warn", 4, 3},
             Row{"info,debug", 1, 1},
             Row{"trace,a=off,", 0, 5},
         }) {
        const auto filter = LogFilter::parse(row.text);
        ASSERT_TRUE(filter.has_value()) << row.text;
        EXPECT_EQ(lowest(*filter, "other"), row.everything) << row.text;
        EXPECT_EQ(lowest(*filter, "a"), row.of_a) << row.text;
    }
    EXPECT_EQ(lowest(LogFilter{}, "any"), 2);
    EXPECT_EQ(LogFilter{}.threshold(), 2);
}

TEST(LogFilter, a_bad_part_is_named) {
    for (const auto* text :
         {"a=", "=info", "a=loud", "info,a=2", "a b=info", "a[span]=info", "a=info=warn", "\xff"}) {
        const auto filter = LogFilter::parse(text);
        ASSERT_FALSE(filter.has_value()) << text;
        EXPECT_EQ(filter.error().code(), ErrorCode::invalid_request);
        EXPECT_EQ(filter.error().detail(), "log.filter");
    }
    EXPECT_NE(
        LogFilter::parse("info,a=loud").error().message().find("\"a=loud\""), std::string::npos
    );
}

}  // namespace
}  // namespace stator::observe
