#include "stator/base/error.hpp"

#include <set>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace stator {
namespace {

static_assert(std::is_nothrow_copy_constructible_v<Error>);
static_assert(std::is_nothrow_copy_assignable_v<Error>);
static_assert(std::is_nothrow_move_constructible_v<Error>);

struct ClassRow {
    ErrorCode code;
    int wire;
    const char* name;
    bool retryable;
};

// Wire values and names are a contract with other versions: this table must never change, only
// grow.
constexpr ClassRow classes[] = {
    {ErrorCode::invalid_request, 1, "invalid_request", false},
    {ErrorCode::unauthenticated, 2, "unauthenticated", false},
    {ErrorCode::permission_denied, 3, "permission_denied", false},
    {ErrorCode::not_found, 4, "not_found", false},
    {ErrorCode::already_exists, 5, "already_exists", false},
    {ErrorCode::payload_too_large, 6, "payload_too_large", false},
    {ErrorCode::overloaded, 7, "overloaded", true},
    {ErrorCode::unavailable, 8, "unavailable", true},
    {ErrorCode::draining, 9, "draining", true},
    {ErrorCode::cancelled, 10, "cancelled", false},
    {ErrorCode::deadline_exceeded, 11, "deadline_exceeded", false},
    {ErrorCode::disconnected, 12, "disconnected", true},
    {ErrorCode::protocol, 13, "protocol", false},
    {ErrorCode::unimplemented, 14, "unimplemented", false},
    {ErrorCode::internal, 15, "internal", false},
};

TEST(ErrorCodes, keep_their_wire_numbers_names_and_retry_defaults) {
    std::set<std::string_view> names;
    for (const auto& row : classes) {
        EXPECT_EQ(static_cast<int>(row.code), row.wire);
        EXPECT_EQ(to_string(row.code), row.name);
        EXPECT_EQ(error_code_from_name(row.name), row.code);
        EXPECT_EQ(error_code_from_wire(static_cast<std::uint8_t>(row.wire)), row.code);
        EXPECT_EQ(retryable_by_default(row.code), row.retryable) << row.name;
        EXPECT_EQ((Error{row.code, "x"}.retryable()), row.retryable) << row.name;
        names.insert(row.name);
    }
    EXPECT_EQ(names.size(), std::size(classes));
}

TEST(ErrorCodes, unknown_ones_of_a_newer_peer_read_as_internal) {
    EXPECT_EQ(error_code_from_wire(0), ErrorCode::internal);
    EXPECT_EQ(error_code_from_wire(16), ErrorCode::internal);
    EXPECT_EQ(error_code_from_wire(255), ErrorCode::internal);
    EXPECT_EQ(to_string(static_cast<ErrorCode>(200)), "internal");
    EXPECT_FALSE(error_code_from_name("Internal").has_value());
    EXPECT_FALSE(error_code_from_name("").has_value());
}

TEST(Error, says_in_one_line_what_was_done_and_why_it_failed) {
    const auto cause = Error{ErrorCode::unavailable, "store.down", "no route"};
    const auto error = Error{ErrorCode::not_found, "no such folder"}
                           .with_context("creating the lock")
                           .with_context("publishing a")
                           .with_cause(cause);
    EXPECT_STREQ(
        error.what(),
        "publishing a: creating the lock: not_found: no such folder "
        "(cause: unavailable [store.down]: no route)"
    );
    EXPECT_EQ(error.context(), (std::vector<std::string>{"creating the lock", "publishing a"}));
    ASSERT_NE(error.cause(), nullptr);
    EXPECT_EQ(error.cause()->code(), ErrorCode::unavailable);
    EXPECT_EQ(error.cause()->cause(), nullptr);
}

TEST(Error, changes_make_copies_and_leave_the_original_alone) {
    const Error plain{ErrorCode::internal, "broken"};
    const auto changed = plain.with_context("a").with_detail("d").with_retryable(true);
    EXPECT_TRUE(plain.context().empty());
    EXPECT_TRUE(plain.detail().empty());
    EXPECT_FALSE(plain.retryable());
    EXPECT_STREQ(plain.what(), "internal: broken");
    EXPECT_EQ(changed.detail(), "d");
    EXPECT_TRUE(changed.retryable());
    EXPECT_EQ(changed.message(), "broken");
}

TEST(Error, a_copy_shares_its_text) {
    const Error error{ErrorCode::internal, "broken"};
    const Error copy{error
    };  // NOLINT(performance-unnecessary-copy-initialization): that is the test
    EXPECT_EQ(error.what(), copy.what()) << "the same pointer, not only the same letters";
    EXPECT_EQ(&error.message(), &copy.message());
}

TEST(Error, can_be_asked_by_many_threads_at_once) {
    const auto error = Error{ErrorCode::internal, "broken"}.with_context("first asked by a crowd");
    std::vector<const char*> lines(8);
    {
        std::vector<std::jthread> threads;
        for (auto& line : lines) threads.emplace_back([&line, error] { line = error.what(); });
    }
    for (const auto* line : lines) EXPECT_EQ(line, error.what());
}

TEST(Error, moved_from_can_still_be_read) {
    Error error{ErrorCode::not_found, "gone"};
    const Error taken{std::move(error)};
    EXPECT_EQ(taken.code(), ErrorCode::not_found);
    // NOLINTNEXTLINE(bugprone-use-after-move): that is the test
    EXPECT_EQ(error.code(), ErrorCode::internal);
    EXPECT_STREQ(error.what(), "internal: ");
}

TEST(Error, comes_out_of_any_exception) {
    const auto of = [](auto thrown) {
        return to_error(std::make_exception_ptr(std::move(thrown)));
    };
    EXPECT_EQ(of(Error{ErrorCode::draining, "bye"}).code(), ErrorCode::draining);
    EXPECT_EQ(of(std::runtime_error{"odd"}).message(), "odd");
    EXPECT_EQ(of(std::runtime_error{"odd"}).code(), ErrorCode::internal);
    EXPECT_EQ(of(std::bad_alloc{}).message(), "out of memory");
    EXPECT_EQ(of(42).code(), ErrorCode::internal);
    EXPECT_EQ(to_error(nullptr).code(), ErrorCode::internal);
}

TEST(Error, travels_as_unexpected) {
    const Result<int> result = fail(ErrorCode::overloaded, "gate.full", "64 requests run");
    ASSERT_FALSE(result.has_value());
    EXPECT_EQ(result.error().detail(), "gate.full");
}

}  // namespace
}  // namespace stator
