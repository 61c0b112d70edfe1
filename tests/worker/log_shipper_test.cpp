// Lines of the log on their way to a collector that takes them, is slow, refuses or is dead.
#include "worker/log_shipper.hpp"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "stator/http/server.hpp"
#include "stator/observe/log.hpp"
#include "stator/runtime/on_loop.hpp"
#include "stator/runtime/timer.hpp"

namespace stator {
namespace {

using namespace std::chrono_literals;
using http::Request;
using http::Response;
using Json = nlohmann::json;

/// What `body` is as an ExportLogsServiceRequest; fails the test where it is none.
std::vector<Json> records_in(const std::string& body, const std::string& service) {
    std::vector<Json> records;
    const auto request = Json::parse(body);
    EXPECT_EQ(request.size(), 1U);
    for (const auto& resource : request.at("resourceLogs")) {
        const auto& name = resource.at("resource").at("attributes").at(0);
        EXPECT_EQ(name.at("key"), "service.name");
        EXPECT_EQ(name.at("value").at("stringValue"), service);
        for (const auto& scope : resource.at("scopeLogs")) {
            for (auto record : scope.at("logRecords")) {
                EXPECT_EQ(record.size(), 5U) << record;
                EXPECT_TRUE(record.at("timeUnixNano").is_string());
                EXPECT_EQ(record.at("timeUnixNano"), record.at("observedTimeUnixNano"));
                record["target"] = scope.at("scope").at("name");
                records.push_back(std::move(record));
            }
        }
    }
    return records;
}

/// Listens, and never answers.
class Silent {
public:
    Silent() {
        address_.sin_family = AF_INET;
        address_.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        auto* const any = reinterpret_cast<sockaddr*>(&address_);
        socklen_t size = sizeof address_;
        EXPECT_EQ(::bind(descriptor_, any, size), 0);
        EXPECT_EQ(::listen(descriptor_, 8), 0);
        EXPECT_EQ(::getsockname(descriptor_, any, &size), 0);
    }
    Silent(const Silent&) = delete;
    Silent& operator=(const Silent&) = delete;
    ~Silent() { ::close(descriptor_); }
    net::Address address() const { return {"127.0.0.1", ntohs(address_.sin_port)}; }

private:
    const int descriptor_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address_{};
};

/// A collector, and a shipper that sends there.
class LogShipping : public ::testing::Test {
protected:
    void SetUp() override {
        log::start({.filter = *observe::LogFilter::parse("debug"), .descriptor = sink_});
    }
    ~LogShipping() override { ::close(sink_); }

    /// Runs beside a collector that answers by `answer`.
    void run(std::function<Response(const Request&)> answer, std::function<Task<>()> body) {
        const auto runtime = Runtime::create({.primary_threads = 1, .graceful_timeout = 5s});
        answer_ = std::move(answer);
        runtime_ = &runtime;
        auto whole = [this](Runtime of, std::function<Task<>()> work) -> Task<> {
            http::Server::Options how;
            how.routes.add(http::Method::post, "/v1/logs", [this](Request request) {
                return [](LogShipping* test, Request got) -> Task<Response> {
                    co_return test->take(got);
                }(this, std::move(request));
            });
            how.limits.body = 16U << 20U;
            auto server = co_await http::Server::start(std::move(how));
            options_.collector.address = server->address();
            options_.collector.path = "/v1/logs";
            shipper_ = std::make_shared<LogShipper>(of, options_);
            shipper_->start();
            const auto ended = co_await as_result(with_deadline(Deadline::in(20s), work()));
            co_await shipper_->tear_down(Deadline::in(5s));
            co_await server->close(Deadline::in(1s));
            if (!ended) throw ended.error();
        };
        runtime.block_on(
            on_loop(runtime.primary().loop(0), whole(runtime.unowned(), std::move(body)))
        );
        shipper_.reset();
        runtime.stop();
    }
    Response take(const Request& request) {
        EXPECT_EQ(http::find_field(request.fields, "Content-Type"), "application/json");
        auto response = answer_(request);
        ++requests_;
        if (response.status == 200) {
            auto records = records_in(request.body, options_.service);
            sizes_.push_back(records.size());
            for (auto& record : records) records_.push_back(std::move(record));
        }
        return response;
    }
    bool has(std::string_view text) const {
        return std::ranges::any_of(records_, [&](const auto& record) {
            return record["body"]["stringValue"] == text;
        });
    }
    Task<> until(std::size_t count) {
        while (records_.size() < count) co_await sleep_for(2ms);
    }

    LogShipper::Options options_ = [] {
        LogShipper::Options made;
        made.service = "test";
        made.period = 5ms;
        made.timeout = 300ms;
        made.backoff = {.initial = 5ms, .max = 20ms, .factor = 2.0};
        return made;
    }();
    std::function<Response(const Request&)> answer_;
    std::shared_ptr<LogShipper> shipper_;
    const Runtime* runtime_ = nullptr;
    int requests_ = 0;
    std::vector<std::size_t> sizes_;
    std::vector<Json> records_;
    const int sink_ = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
};

Response taken(const Request&) { return Response::json(200, "{}"); }

TEST_F(LogShipping, LinesArriveInOrderWithLevelAndTarget) {
    run(taken, [this]() -> Task<> {
        log::info("demo::one", "number {}", 1);
        log::error("demo::one", "quoted \"text\"\nof two lines");
        log::debug("demo::two", "quiet");
        log::trace("demo::two", "not wanted by the filter");
        co_await until(3);
        EXPECT_EQ(records_.at(0)["body"]["stringValue"], "number 1");
        EXPECT_EQ(records_.at(0)["severityNumber"], 9);
        EXPECT_EQ(records_.at(0)["severityText"], "INFO");
        EXPECT_EQ(records_.at(0)["target"], "demo::one");
        EXPECT_EQ(records_.at(1)["severityNumber"], 17);
        EXPECT_EQ(records_.at(1)["body"]["stringValue"], "quoted \"text\"\\x0aof two lines");
        EXPECT_EQ(records_.at(2)["target"], "demo::two");
    });
    EXPECT_EQ(records_.size(), 3U);
}

TEST_F(LogShipping, BatchesAreBounded) {
    options_.batch = 10;
    run(taken, [this]() -> Task<> {
        for (int i = 0; i < 95; ++i) log::info("demo", "{}", i);
        co_await until(95);
    });
    for (const auto size : sizes_) EXPECT_LE(size, 10U);
    for (std::size_t i = 0; i < records_.size(); ++i)
        EXPECT_EQ(records_[i]["body"]["stringValue"], std::to_string(i));
}

TEST_F(LogShipping, WhatItCannotTakeNowIsSentAgainAndWhatItRefusesIsNot) {
    const auto refused = observe::metrics().counter(
        "stator_log_lines_refused_total", "Lines of the log that the collector did not want"
    );
    const auto before = refused.value();
    run(
        [this](const Request& request) {
            if (requests_ == 2 && request.body.contains("unwanted"))
                return Response::text(400, "no");
            return requests_ < 2 ? Response::text(503, "later") : taken(request);
        },
        [this]() -> Task<> {
            log::info("demo", "unwanted");
            while (requests_ < 3) co_await sleep_for(2ms);
            log::info("demo", "wanted");
            while (!has("wanted")) co_await sleep_for(2ms);
        }
    );
    std::multiset<std::string> texts;
    for (const auto& record : records_) texts.insert(record["body"]["stringValue"]);
    EXPECT_EQ(texts.count("wanted"), 1U);
    EXPECT_EQ(texts.count("unwanted"), 0U);
    EXPECT_GE(refused.value(), before + 1);
}

TEST_F(LogShipping, ADeadCollectorDelaysNothingAndWhatIsLostIsCounted) {
    options_.queue = 100;
    options_.batch = 10;
    run(taken, [this]() -> Task<> {
        const Silent silent;
        auto options = options_;
        options.collector.address = silent.address();
        options.last_try = 50ms;
        const auto home = Loop::current();
        const auto dead = std::make_shared<LogShipper>(*runtime_, options);
        dead->start();
        const auto begin = Clock::steady().now();
        for (int i = 0; i < 5000; ++i) log::info("demo", "{}", i);
        EXPECT_LT(Clock::steady().now() - begin, 2s);
        EXPECT_EQ(Loop::current(), home);
        EXPECT_GE(dead->dropped(), 5000U - 100 - 10);
        EXPECT_TRUE(observe::metrics().text().contains("\nstator_log_lines_not_shipped_total "));
        const auto end = Clock::steady().now();
        co_await dead->tear_down(Deadline::in(10s));
        EXPECT_LT(Clock::steady().now() - end, 1s);
    });
}

TEST_F(LogShipping, WhatIsLeftAtTheEndIsSent) {
    options_.period = 1h;
    run(taken, []() -> Task<> {
        log::info("demo", "last words");
        co_return;
    });
    ASSERT_EQ(records_.size(), 1U);
    EXPECT_EQ(records_[0]["body"]["stringValue"], "last words");
}

TEST(Collectors, AreFoundByTheirUrl) {
    const auto of = [](std::string url) {
        settings::LoggingSettings settings;
        settings.otlp_endpoint = std::move(url);
        return collector_of(settings);
    };
    const auto plain = of("http://collector.local:4318/v1/logs");
    ASSERT_TRUE(plain);
    EXPECT_EQ(plain->address.host, "collector.local");
    EXPECT_EQ(plain->address.port, 4318);
    EXPECT_EQ(plain->path, "/v1/logs");
    const auto bare = of("http://127.0.0.1");
    ASSERT_TRUE(bare);
    EXPECT_EQ(bare->address.port, 80);
    EXPECT_EQ(bare->path, "/");
    const auto six = of("http://[::1]:4318/x");
    ASSERT_TRUE(six);
    EXPECT_EQ(six->address.host, "::1");
    for (const auto* bad : {"ftp://x", "http://", "http://host:port/", "https://host/v1/logs"}) {
        const auto refused = of(bad);
        ASSERT_FALSE(refused) << bad;
        EXPECT_EQ(refused.error().code(), ErrorCode::invalid_request) << bad;
    }
}

}  // namespace
}  // namespace stator
