#include "stator/observe/log.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <memory>
#include <regex>
#include <source_location>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "observe/log_lines.hpp"
#include "stator/codec/json.hpp"
#include "stator/observe/observe.hpp"
#include "stator/settings/settings.hpp"

namespace {

/// Formatting it is an observable event, or a failure.
struct Probe {
    int* formatted = nullptr;
    bool broken = false;
};

}  // namespace

template <>
struct fmt::formatter<Probe> {
    constexpr auto parse(format_parse_context& context) { return context.begin(); }
    template <class Context>
    auto format(const Probe& probe, Context& context) const {
        if (probe.broken) throw std::runtime_error{"cannot be shown"};
        ++*probe.formatted;
        return fmt::format_to(context.out(), "probe");
    }
};

namespace stator::observe {
namespace {

using namespace std::chrono_literals;
using Json = nlohmann::json;

/// A file without a name that lines go to.
class LogFile {
public:
    LogFile() : descriptor_{::open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600)} {}
    ~LogFile() {
        log::start({});  // nobody writes here any more once this returns and the queue is empty
        log::flush(5s);
        ::close(descriptor_);
    }
    LogFile(const LogFile&) = delete;
    LogFile& operator=(const LogFile&) = delete;

    int descriptor() const { return descriptor_; }
    std::vector<std::string> lines() const {
        EXPECT_TRUE(log::flush(10s));
        std::string text(static_cast<std::size_t>(::lseek(descriptor_, 0, SEEK_END)), '\0');
        EXPECT_EQ(
            ::pread(descriptor_, text.data(), text.size(), 0), static_cast<ssize_t>(text.size())
        );
        std::vector<std::string> lines;
        while (!text.empty()) {
            const auto end = text.find('\n');
            EXPECT_NE(end, text.npos) << "a line without an end";
            lines.push_back(text.substr(0, end));
            text.erase(0, end == text.npos ? end : end + 1);
        }
        return lines;
    }

private:
    int descriptor_;
};

LogFilter filter(std::string_view text) { return LogFilter::parse(text).value(); }

TEST(Log, readable_lines_have_time_level_target_and_message) {
    const LogFile file;
    log::start({.filter = filter("trace"), .descriptor = file.descriptor()});
    log::info("stator::worker", "{} of {} ready", 2, "3");
    log::error("app", "broken");
    const auto lines = file.lines();
    ASSERT_EQ(lines.size(), 2U);
    const std::regex first{
        R"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z  INFO stator::worker: 2 of 3 ready)"
    };
    EXPECT_TRUE(std::regex_match(lines[0], first)) << lines[0];
    EXPECT_TRUE(lines[1].ends_with(" ERROR app: broken")) << lines[1];
}

TEST(Log, local_times_carry_their_zone) {
    const LogFile file;
    log::start({.local_time = true, .descriptor = file.descriptor()});
    log::info("app", "x");
    const std::regex line{R"(\S+T\d\d:\d\d:\d\d\.\d{6}[+-]\d\d:\d\d  INFO app: x)"};
    EXPECT_TRUE(std::regex_match(file.lines().at(0), line));
}

TEST(Log, jsonl_lines_are_documents) {
    const LogFile file;
    log::start({.filter = filter("debug"), .jsonl = true, .descriptor = file.descriptor()});
    log::debug("stator::net", "quote \" backslash \\ euro \xe2\x82\xac");
    log::warn("a\"b", "two\nlines, not UTF-8: \xff");
    const auto lines = file.lines();
    ASSERT_EQ(lines.size(), 2U);
    const auto first = decode_json(lines[0]).value();
    EXPECT_EQ(first.at("level"), "DEBUG");
    EXPECT_EQ(first.at("target"), "stator::net");
    EXPECT_EQ(first.at("message"), "quote \" backslash \\ euro \xe2\x82\xac");
    const auto time = first.at("time").get<std::string>();
    EXPECT_TRUE(std::regex_match(time, std::regex{R"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z)"}))
        << time;
    const auto second = decode_json(lines[1]).value();
    EXPECT_EQ(second.at("target"), "a\"b");
    EXPECT_EQ(second.at("message"), "two\\x0alines, not UTF-8: \xef\xbf\xbd");
}

/// Says of itself what it belongs to, and counts how often it was asked.
struct Request {
    Span own;
    int* asked = nullptr;
    Span span() const {
        if (asked != nullptr) ++*asked;
        return own;
    }
};

TEST(Log, jsonl_lines_say_where_they_are_written_and_of_which_request) {
    const LogFile file;
    log::start({.filter = filter("info"), .jsonl = true, .descriptor = file.descriptor()});
    const auto trace =
        TraceContext::parse("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "vendor=1");
    const Request request{{
        .name = Span::served,
        .request_id = "6f9619ff-8b86-4d01-b42d-00cf4fc964ff",
        .x_request_id = "a \"b\"",
        .trace = trace.value(),
        .parent = TraceContext::parse("00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01")
                      .value()
                      .span_id,
        .place = &lasting({"demo", "backend", "generate", 255}),
        .duration = 1500us,
    }};
    log::info("app", "alone");
    const auto line = std::source_location::current().line() + 1;
    log::warn(request, "app", "{} of it\n", 1);
    const auto lines = file.lines();
    ASSERT_EQ(lines.size(), 2U);
    auto alone = Json::parse(lines[0]);
    alone.erase("time");
    const Json expected_alone{
        {"level", "INFO"},
        {"file", "tests/observe/log_test.cpp"},
        {"line", line - 2},
        {"target", "app"},
        {"message", "alone"},
    };
    EXPECT_EQ(alone, expected_alone);
    auto of_request = Json::parse(lines[1]);
    of_request.erase("time");
    const Json expected{
        {"level", "WARN"},
        {"file", "tests/observe/log_test.cpp"},
        {"line", line},
        {"target", "app"},
        {"message", "1 of it\\x0a"},
        {"span_name", "handle_payload"},
        {"trace_id", "0af7651916cd43dd8448eb211c80319c"},
        {"span_id", "b7ad6b7169203331"},
        {"parent_id", "00f067aa0ba902b7"},
        {"trace_flags", "01"},
        {"tracestate", "vendor=1"},
        {"request_id", "6f9619ff-8b86-4d01-b42d-00cf4fc964ff"},
        {"x_request_id", "a \"b\""},
        {"namespace", "demo"},
        {"component", "backend"},
        {"endpoint", "generate"},
        {"instance_id", "255"},
        {"time.duration_us", 1500},
    };
    EXPECT_EQ(of_request, expected);
}

TEST(Log, a_request_is_asked_for_its_span_only_if_the_line_is_wanted) {
    const LogFile file;
    log::start({.filter = filter("info"), .descriptor = file.descriptor()});
    int asked = 0;
    const Request request{{.request_id = "r"}, &asked};
    log::debug(request, "app", "unwanted");
    EXPECT_EQ(asked, 0);
    log::info(request, "app", "wanted");
    EXPECT_EQ(asked, 1);
    const auto lines = file.lines();
    ASSERT_EQ(lines.size(), 1U);
    EXPECT_TRUE(lines[0].ends_with(" INFO app: wanted")) << lines[0];
}

TEST(Log, what_is_copied_knows_its_trace) {
    const LogFile file;
    log::start({.filter = filter("info"), .descriptor = file.descriptor()});
    const auto queue = std::make_shared<LogQueue>(10);
    log::copy_to(queue);
    const Request request{{.request_id = "r", .trace = TraceContext::random()}};
    log::info(request, "app", "traced");
    log::info("app", "alone");
    log::copy_to(nullptr);
    const auto records = queue->take(10);
    ASSERT_EQ(records.size(), 2U);
    EXPECT_EQ(records[0].message, "traced");
    EXPECT_EQ(records[0].trace_id, request.own.trace->trace_id_text());
    EXPECT_EQ(records[0].span_id, request.own.trace->span_id_text());
    EXPECT_EQ(records[1].trace_id, "");
}

TEST(Log, what_is_filtered_out_is_not_even_formatted) {
    const LogFile file;
    int formatted = 0;
    log::start({.filter = filter("info,loud=debug"), .descriptor = file.descriptor()});
    log::debug("quiet", "{}", Probe{&formatted});
    log::trace("loud", "{}", Probe{&formatted});
    EXPECT_EQ(formatted, 0);
    log::debug("loud", "{}", Probe{&formatted});
    log::info("quiet", "{}", Probe{&formatted});
    EXPECT_EQ(formatted, 2);
    EXPECT_EQ(file.lines().size(), 2U);
    EXPECT_TRUE(log::enabled(Severity::debug, "loud::part"));
    EXPECT_FALSE(log::enabled(Severity::debug, "quiet"));
}

TEST(Log, a_formatter_that_throws_costs_its_line_only) {
    const LogFile file;
    log::start({.descriptor = file.descriptor()});
    log::info("app", "{}", Probe{nullptr, true});
    log::info("app", "next");
    EXPECT_EQ(file.lines().size(), 1U);
}

TEST(Log, a_message_stays_on_its_line_and_has_an_end) {
    const LogFile file;
    log::start({.descriptor = file.descriptor()});
    log::info("app", "a\nb\x1b[31m{}", std::string_view{"\0", 1});
    log::info("app", "{}", std::string(100'000, 'x'));
    const auto lines = file.lines();
    ASSERT_EQ(lines.size(), 2U);
    EXPECT_TRUE(lines[0].ends_with(R"(a\x0ab\x1b[31m\x00)")) << lines[0];
    EXPECT_TRUE(lines[1].ends_with("xxx... (67232 bytes more)"));
}

TEST(Log, lines_of_several_threads_stay_whole_and_in_order) {
    const LogFile file;
    log::start({.descriptor = file.descriptor()});
    constexpr int each = 900;  // four times that is below the length of the queue
    {
        std::vector<std::jthread> threads;
        for (int t = 0; t < 4; ++t) {
            threads.emplace_back([t] {
                for (int i = 0; i < each; ++i) log::info("app", "thread {} line {}.", t, i);
            });
        }
    }
    std::array<int, 4> next{};
    const std::regex pattern{R"(.* INFO app: thread (\d) line (\d+)\.)"};
    for (const auto& line : file.lines()) {
        std::smatch match;
        ASSERT_TRUE(std::regex_match(line, match, pattern)) << line;
        auto& expected = next.at(std::stoul(match[1]));
        EXPECT_EQ(std::stoi(match[2]), expected);
        ++expected;
    }
    EXPECT_EQ(next, (std::array<int, 4>{each, each, each, each}));
}

TEST(Log, a_descriptor_that_takes_nothing_blocks_nobody) {
    std::array<int, 2> pipe{};
    ASSERT_EQ(::pipe2(pipe.data(), O_CLOEXEC), 0);
    log::start({.descriptor = pipe[1]});
    const auto dropped_before = log::dropped();
    const std::string text(100, 'x');
    for (int i = 0; i < 6000; ++i)
        log::info("app", "{}", text);  // the pipe holds 64 KiB, the queue 4096 lines
    EXPECT_FALSE(log::flush(20ms));
    EXPECT_GT(log::dropped(), dropped_before);

    std::jthread reader{[&] {
        std::array<char, 65536> buffer{};
        while (::read(pipe[0], buffer.data(), buffer.size()) > 0) {
        }
    }};
    EXPECT_TRUE(log::flush(10s));
    log::start({});
    ::close(pipe[1]);
    reader.join();
    ::close(pipe[0]);
}

TEST(Log, a_closed_pipe_kills_nobody) {
    std::array<int, 2> pipe{};
    ASSERT_EQ(::pipe2(pipe.data(), O_CLOEXEC), 0);
    ::close(pipe[0]);
    log::start({.descriptor = pipe[1]});
    log::info("app", "nobody reads this");
    EXPECT_TRUE(log::flush(10s));
    log::start({});
    ::close(pipe[1]);
}

TEST(Log, flush_of_nothing_returns_at_once) { EXPECT_TRUE(log::flush(0s) || log::flush(10s)); }

TEST(OneLine, keeps_what_is_plain) {
    EXPECT_EQ(one_line("plain \xe2\x82\xac"), "plain \xe2\x82\xac");
    EXPECT_EQ(one_line(""), "");
    EXPECT_EQ(one_line("\t\x7f"), "\\x09\\x7f");
    EXPECT_EQ(one_line("\xe2\x82"), "\xef\xbf\xbd\xef\xbf\xbd");
}

TEST(Every, lets_one_line_through_per_interval) {
    ManualClock clock;
    const auto* before = Clock::set_current(&clock);
    log::Every every{10s};
    EXPECT_EQ(every.due(), 0U);
    EXPECT_EQ(every.due(), std::nullopt);
    clock.advance(10s - 1ns);
    EXPECT_EQ(every.due(), std::nullopt);
    clock.advance(1ns);
    EXPECT_EQ(every.due(), 2U);
    clock.advance(1h);
    EXPECT_EQ(every.due(), 0U);
    Clock::set_current(before);
}

TEST(Every, one_thread_of_many_gets_the_line) {
    ManualClock clock;
    log::Every every{10s};
    std::atomic<int> lines{0};
    std::atomic<std::uint64_t> held_back{0};
    for (int round = 0; round < 50; ++round) {
        {
            std::vector<std::jthread> threads;
            for (int t = 0; t < 4; ++t) {
                threads.emplace_back([&] {
                    Clock::set_current(&clock);
                    if (const auto before = every.due()) {
                        ++lines;
                        held_back += *before;
                    }
                });
            }
        }
        clock.advance(10s);
    }
    EXPECT_EQ(lines, 50);
    EXPECT_LE(held_back, 150U);
}

TEST(Start, takes_the_settings_and_names_where_a_bad_filter_is_from) {
    settings::Settings settings;
    settings.logging.filter = "loud";
    ASSERT_TRUE(start(settings).has_value());
    settings.logging.filter = "app=loud";
    settings.sources["logging.filter"] = "environment DYN_LOG";
    const auto started = start(settings);
    ASSERT_FALSE(started.has_value());
    EXPECT_TRUE(std::string_view{started.error().what()}.starts_with("environment DYN_LOG: "))
        << started.error().what();
    settings.logging.filter = "debug";
    ASSERT_TRUE(start(settings).has_value());
    EXPECT_TRUE(log::enabled(Severity::debug, "app"));
    set_sink(nullptr);
}

TEST(Start, reports_of_lower_layers_are_logged) {
    const LogFile file;
    log::start({.filter = filter("info"), .descriptor = file.descriptor()});
    install_sink();
    sink().report(Severity::info, "stator::store", "with {} braces");
    sink().report(Severity::debug, "stator::store", "filtered");
    EXPECT_TRUE(log::flush(10s));
    log::start({.filter = filter("info"), .jsonl = true, .descriptor = file.descriptor()});
    sink().report(Severity::info, "stator::store", "as JSON");
    set_sink(nullptr);
    const auto lines = file.lines();
    ASSERT_EQ(lines.size(), 2U);
    EXPECT_TRUE(lines[0].ends_with(" INFO stator::store: with {} braces")) << lines[0];
    EXPECT_EQ(decode_json(lines[1]).value().at("file"), "tests/observe/log_test.cpp");
}

}  // namespace
}  // namespace stator::observe
