// Requests, responses and their parts as values.
#include "stator/http/message.hpp"

#include <gtest/gtest.h>

#include "http/message_text.hpp"

namespace stator::http {
namespace {

TEST(Messages, AFieldIsFoundWhateverItsLetters) {
    const Fields fields{{"Content-Type", "a"}, {"content-type", "b"}};
    EXPECT_EQ(find_field(fields, "CONTENT-TYPE"), "a");
    EXPECT_EQ(find_field(fields, "Content"), std::nullopt);
}

TEST(Messages, ATargetIsPathAndQuery) {
    const auto parts = [](std::string target) {
        const Request request{.target = std::move(target)};
        return std::pair{std::string{request.path()}, std::string{request.query()}};
    };
    EXPECT_EQ(parts("/a/b?c=d?e"), (std::pair<std::string, std::string>{"/a/b", "c=d?e"}));
    EXPECT_EQ(parts("/a"), (std::pair<std::string, std::string>{"/a", ""}));
    EXPECT_EQ(parts("http://host:1/a?b"), (std::pair<std::string, std::string>{"/a", "b"}));
    EXPECT_EQ(parts("http://host"), (std::pair<std::string, std::string>{"/", ""}));
    EXPECT_EQ(
        parts("/a?u=http://x/y"), (std::pair<std::string, std::string>{"/a", "u=http://x/y"})
    );
}

TEST(Messages, EscapesAreDecodedOrRefused) {
    EXPECT_EQ(percent_decoded("a%20b%2Fc%c3%A4").value(), "a b/c\xc3\xa4");
    for (const auto* bad : {"%", "%2", "a%zz", "%g0", "%0g"})
        EXPECT_EQ(percent_decoded(bad).error().detail(), "http.escape") << bad;
}

TEST(Messages, AResponseIsWrittenWithItsLength) {
    auto response = Response::text(200, "hello");
    response.fields.emplace_back("X-A", "b\r\nX-Evil: 1");
    EXPECT_EQ(
        text_of(response, {}),
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Type: text/plain; charset=utf-8\r\n"
        "X-A: b\r\nConnection: keep-alive\r\n\r\nhello"
    );
    EXPECT_EQ(
        text_of(Response::json(404, "{}"), {.close = true, .head_only = true}),
        "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\nContent-Type: application/json\r\n"
        "Connection: close\r\n\r\n"
    );
}

TEST(Messages, EveryClassOfErrorHasAStatusWithAName) {
    for (std::uint8_t number = 1; number <= 15; ++number) {
        const auto code = error_code_from_wire(number);
        EXPECT_GE(status_of(code), 400U);
        EXPECT_NE(reason_of(status_of(code)), "") << status_of(code);
    }
    const auto response = Response::of(Error{ErrorCode::not_found, "a.b", "no \"x\""});
    EXPECT_EQ(response.status, 404U);
    EXPECT_EQ(
        response.body,
        "{\"error\":{\"code\":\"not_found\",\"detail\":\"a.b\",\"message\":\"no \\\"x\\\"\"}}\n"
    );
}

TEST(Messages, AParameterThatThePatternLacksIsADefect) {
    const Request request{.parameters = {{"a", "1"}}};
    EXPECT_EQ(request.parameter("a"), "1");
    EXPECT_THROW((void)request.parameter("b"), Error);
}

}  // namespace
}  // namespace stator::http
