// What the user sees: errors, tables, lines.
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <optional>
#include <string>
#include <thread>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "cli/exit_status.hpp"
#include "cli/line_writer.hpp"
#include "cli/table.hpp"
#include "stator/runtime/runtime.hpp"
#include "stator/runtime/task_scope.hpp"
#include "stator/runtime/token_wait.hpp"

namespace stator::cli {
namespace {

using namespace std::chrono_literals;

TEST(ExitStatus, IsTheContract) {
    EXPECT_EQ(status_of(ErrorCode::unavailable), 3);
    EXPECT_EQ(status_of(ErrorCode::deadline_exceeded), 4);
    EXPECT_EQ(status_of(ErrorCode::overloaded), 5);
    EXPECT_EQ(status_of(ErrorCode::cancelled), 6);
    for (const auto code :
         {ErrorCode::invalid_request,
          ErrorCode::not_found,
          ErrorCode::payload_too_large,
          ErrorCode::draining,
          ErrorCode::disconnected,
          ErrorCode::protocol,
          ErrorCode::unimplemented,
          ErrorCode::internal}) {
        EXPECT_EQ(status_of(code), 1) << to_string(code);
    }
    EXPECT_EQ(Failure::usage(Error{ErrorCode::unavailable, "x"}).status, 2);
    EXPECT_EQ(Failure::of(Error{ErrorCode::unavailable, "x"}).status, 3);
}

TEST(ErrorLine, IsJson) {
    const auto plain = nlohmann::json::parse(to_json(Error{ErrorCode::disconnected, "gone"}));
    EXPECT_EQ(
        plain,
        nlohmann::json::parse(
            R"({"error":{"code":"disconnected","message":"gone","retryable":true}})"
        )
    );
    const auto full =
        nlohmann::json::parse(to_json(Error{ErrorCode::internal, "a.b", "broke \"it\"\n"}
                                          .with_context("first")
                                          .with_context("second")
                                          .with_cause(Error{ErrorCode::protocol, "why"})));
    EXPECT_EQ(full["error"]["detail"], "a.b");
    EXPECT_EQ(full["error"]["message"], "broke \"it\"\n");
    EXPECT_EQ(full["error"]["context"], (nlohmann::json{"first", "second"}));
    EXPECT_NE(full["error"]["cause"].get<std::string>().find("why"), std::string::npos);
}

TEST(ErrorLine, SurvivesTextThatIsNotUtf8) {
    const auto line = to_json(Error{ErrorCode::internal, "bad \xff\xfe bytes"});
    EXPECT_EQ(nlohmann::json::parse(line)["error"]["message"], "bad \uFFFD\uFFFD bytes");
    EXPECT_EQ(line.find('\n'), std::string::npos);
}

TEST(Table, AlignsItsColumns) {
    EXPECT_EQ(
        aligned({{"NAME", "VALUE", "SOURCE"}, {"a", "", "default"}, {"long.name", "1"}, {"x", "y"}}
        ),
        "NAME       VALUE  SOURCE\n"
        "a                 default\n"
        "long.name  1\n"
        "x          y\n"
    );
    EXPECT_EQ(aligned({}), "");
    EXPECT_EQ(aligned({{"a\nb\x7f", "c"}}), "a\\x0ab\\x7f  c\n");
}

/// Both ends of a pipe.
class Pipe {
public:
    Pipe() { EXPECT_EQ(::pipe2(ends_.data(), O_CLOEXEC), 0); }
    Pipe(const Pipe&) = delete;
    Pipe& operator=(const Pipe&) = delete;
    ~Pipe() {
        close_reader();
        close_writer();
    }
    int writer() const { return ends_[1]; }
    void close_reader() { close_end(0); }
    void close_writer() { close_end(1); }
    /// What there is, up to `most` bytes; blocks until there is something.
    std::string read(std::size_t most) const {
        std::string text(most, '\0');
        const auto count = ::read(ends_[0], text.data(), most);
        text.resize(count < 0 ? 0 : static_cast<std::size_t>(count));
        return text;
    }

private:
    void close_end(std::size_t index) {
        if (ends_[index] >= 0) ::close(ends_[index]);
        ends_[index] = -1;
    }
    std::array<int, 2> ends_{-1, -1};
};

Task<std::optional<Error>> put_lines(
    LineWriter* lines, int count, std::size_t size, Deadline last
) {
    TaskScope writing;
    writing.spawn(lines->run());
    std::optional<Error> failure;
    for (int i = 0; i < count && !failure; ++i) {
        auto line = std::to_string(i);
        line.resize(std::max(size, line.size()), '.');
        const auto put = co_await as_result(lines->put(std::move(line)));
        if (!put) failure = put.error();
    }
    const auto finished = co_await as_result(lines->finish(last));
    if (!finished && !failure) failure = finished.error();
    co_await writing.join();
    co_return failure;
}

class LineWriterTest : public testing::Test {
protected:
    static void SetUpTestSuite() { std::signal(SIGPIPE, SIG_IGN); }
    void TearDown() override { runtime_.stop(); }
    Runtime runtime_ = Runtime::single_threaded();
    Pipe pipe_;
};

TEST_F(LineWriterTest, WritesEveryLineWholeAndInOrder) {
    std::string text;
    std::jthread reader{[&] {
        for (;;) {
            const auto more = pipe_.read(1U << 16U);
            if (more.empty()) return;
            text += more;
        }
    }};
    LineWriter lines{runtime_.blocking(), pipe_.writer(), {}};
    const auto failure = runtime_.block_on(put_lines(&lines, 20'000, 50, Deadline::never()));
    EXPECT_FALSE(failure);
    pipe_.close_writer();
    reader.join();
    ASSERT_EQ(text.size(), 20'000U * 51);
    for (int i = 0; i < 20'000; ++i) {
        auto expected = std::to_string(i);
        expected.resize(50, '.');
        ASSERT_EQ(text.substr(static_cast<std::size_t>(i) * 51, 51), expected + '\n');
    }
}

TEST_F(LineWriterTest, FailsOnceNobodyReads) {
    pipe_.close_reader();
    LineWriter lines{runtime_.blocking(), pipe_.writer(), {}};
    const auto failure = runtime_.block_on(put_lines(&lines, 1'000'000, 1000, Deadline::never()));
    ASSERT_TRUE(failure);
    EXPECT_EQ(failure->code(), ErrorCode::cancelled);
    EXPECT_EQ(failure->detail(), "cli.output");
    EXPECT_NE(failure->message().find("Broken pipe"), std::string::npos) << failure->message();
}

TEST_F(LineWriterTest, CancelsWhoHasNothingToPut) {
    pipe_.close_reader();
    const auto producers = CancellationToken::make();
    LineWriter lines{runtime_.blocking(), pipe_.writer(), producers};
    const auto put_one = [](LineWriter* to, CancellationToken token) -> Task<> {
        TaskScope writing;
        writing.spawn(to->run());
        co_await to->put("the only one");
        co_await token.wait();
        (void)co_await as_result(to->finish(Deadline::never()));
        co_await writing.join();
    };
    runtime_.block_on(put_one(&lines, producers));
    EXPECT_EQ(lines.failure().value().code(), ErrorCode::cancelled);
}

TEST_F(LineWriterTest, SaysWhyItCannotWrite) {
    const int full = ::open("/dev/full", O_WRONLY | O_CLOEXEC);
    ASSERT_GE(full, 0);
    LineWriter lines{runtime_.blocking(), full, {}};
    const auto failure = runtime_.block_on(put_lines(&lines, 1, 10, Deadline::never()));
    ASSERT_TRUE(failure);
    EXPECT_EQ(failure->code(), ErrorCode::internal);
    EXPECT_NE(failure->message().find("No space left"), std::string::npos) << failure->message();
    ::close(full);
}

TEST_F(LineWriterTest, GivesUpOnAReaderThatDoesNotRead) {
    LineWriter lines{runtime_.blocking(), pipe_.writer(), {}};
    // More than the pipe holds, less than what makes `put` wait.
    const auto failure = runtime_.block_on(put_lines(&lines, 200, 1000, Deadline::in(100ms)));
    ASSERT_TRUE(failure);
    EXPECT_NE(failure->message().find("not read in time"), std::string::npos) << failure->message();
}

TEST_F(LineWriterTest, MakesPutWaitForASlowReader) {
    LineWriter lines{runtime_.blocking(), pipe_.writer(), {}};
    std::atomic<int> taken{0};
    const auto put_many = [](LineWriter* to, std::atomic<int>* count) -> Task<> {
        TaskScope writing;
        writing.spawn(to->run());
        for (int i = 0; i < 10'000; ++i) {
            co_await to->put(std::string(999, 'x'));
            ++*count;
        }
        co_await to->finish(Deadline::never());
        co_await writing.join();
    };
    std::jthread putting{[&] { runtime_.block_on(put_many(&lines, &taken)); }};
    // It stops by itself: what a pipe, one write and the gathered lines hold is the bound.
    int before = -1;
    while (taken != before || taken == 0) {
        before = taken;
        std::this_thread::sleep_for(50ms);
    }
    EXPECT_LT(taken, 1000);
    std::size_t size = 0;
    while (size < 10'000U * 1000) size += pipe_.read(1U << 16U).size();
    putting.join();
    EXPECT_EQ(taken, 10'000);
}

}  // namespace
}  // namespace stator::cli
