// The status server beside a cluster: also while every primary loop is held.
#include "stator/worker/status_server.hpp"

#include <atomic>
#include <functional>
#include <string>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "stator/http/client.hpp"
#include "stator/observe/log.hpp"
#include "stator/runtime/on_loop.hpp"
#include "tests/component/cluster_fixture.hpp"
#include "tests/support/certificates.hpp"
#include "worker/vitals.hpp"

namespace stator::testing {
namespace {

using namespace std::chrono_literals;
using http::Response;
using Json = nlohmann::json;

Stream<std::string> echo(Context, std::string text) { co_yield text; }

class StatusTest : public ClusterTest {
public:
    /// Runs `body` on the secondary pool beside a status server.
    void with_server(std::function<Task<>(StatusTest*)> body, std::function<void()> before = {}) {
        run([&](ClusterTest*) -> Task<> {
            if (before) before();
            co_await on_loop(runtime().secondary().loop(0), serve(&body));
        });
    }
    Task<> serve(std::function<Task<>(StatusTest*)>* body) {
        auto server = co_await StatusServer::start(runtime(), options);
        address = server->address();
        const auto ended = co_await as_result((*body)(this));
        co_await server->close(Deadline::in(2s));
        if (!ended) throw ended.error();
    }
    Task<Response> get(std::string target) {
        return http::fetch(address, {.target = std::move(target)});
    }
    Task<Response> post(std::string target, std::string body) {
        return http::fetch(
            address,
            {.method = http::Method::post, .target = std::move(target), .body = std::move(body)}
        );
    }
    Task<DistributedRuntime> join() {
        DistributedConfig config;
        config.discovery = DiscoveryBackend::memory;
        config.memory_name = name;
        config.health_state = options.health;
        return DistributedRuntime::connect(runtime(), config);
    }

    const std::string name = std::to_string(os_random());
    net::Address address;
    StatusServer::Options options = [] {
        StatusServer::Options made;
        made.settings.system.port = 0;
        made.settings.system.host = "127.0.0.1";
        made.health = std::make_shared<observe::Health>();
        return made;
    }();
};

TEST_F(StatusTest, TellsHowTheProcessIsFromItsStartToItsEnd) {
    with_server([](StatusTest* test) -> Task<> {
        EXPECT_EQ((co_await test->get("/live")).status, 200U);
        EXPECT_EQ((co_await test->get("/ready")).status, 503U);
        EXPECT_EQ((co_await test->get("/health")).status, 503U);
        EXPECT_EQ((co_await test->get("/metadata")).status, 404U);
        const auto cluster = co_await test->join();
        EXPECT_EQ((co_await test->get("/ready")).status, 503U);
        const auto served = co_await cluster.endpoint("demo.backend.generate").start(echo);
        EXPECT_EQ((co_await test->get("/ready")).status, 200U);
        const auto health = Json::parse((co_await test->get("/health")).body);
        EXPECT_EQ(health["endpoints"], Json::parse(R"({"generate":"ready"})"));
        const auto metadata = Json::parse((co_await test->get("/metadata")).body);
        EXPECT_EQ(metadata["instances"][0]["component"], "backend");
        const auto streams = Json::parse((co_await test->get("/debug/streams")).body);
        EXPECT_EQ(streams["instances"][0]["endpoint"], "demo.backend.generate");
        EXPECT_EQ((co_await test->get("/debug/config")).status, 200U);
        test->runtime().shutdown();
        const auto ending = co_await test->get("/ready");
        EXPECT_EQ(ending.status, 503U);
        EXPECT_NE(ending.body.find("the process is ending"), std::string::npos);
        EXPECT_EQ((co_await test->get("/live")).status, 200U);
    });
}

TEST_F(StatusTest, PathsAreConfigurable) {
    options.settings.system.health_path = "/h";
    options.settings.system.live_path = "/l/x";
    with_server([](StatusTest* test) -> Task<> {
        EXPECT_EQ((co_await test->get("/h")).status, 503U);
        EXPECT_EQ((co_await test->get("/l/x")).status, 200U);
        EXPECT_EQ((co_await test->get("/live")).status, 404U);
        EXPECT_EQ((co_await test->get("/health")).body, "Route not found\n");
    });
}

TEST_F(StatusTest, MetricsAreInTheTextFormat) {
    with_server([](StatusTest* test) -> Task<> {
        const auto vitals = collect_vitals(test->runtime(), test->options.health);
        const auto cluster = co_await test->join();
        const auto served = co_await cluster.endpoint("demo.backend.generate").start(echo);
        const auto page = co_await test->get("/metrics");
        EXPECT_EQ(page.content_type, "text/plain; version=0.0.4; charset=utf-8");
        for (const auto* name : {
                 "dynamo_component_uptime_seconds ",
                 "dynamo_component_requests_total{",
                 "stator_ready 1",
                 "stator_instance_ready{endpoint=\"demo.backend.generate\"",
                 "stator_loop_turn_seconds{loop=\"primary-0\"}",
                 "stator_loop_sleeps_total{loop=\"secondary-0\"}",
                 "stator_registered{",
                 "state=\"registered\"} 1",
                 "state=\"recovering\"} 0",
                 "stator_buffer_window_bytes{",
                 "stator_mux_connections{",
                 "stator_http_responses_total{server=\"status\",status=\"2xx\"}",
             })
            EXPECT_NE(page.body.find(name), std::string::npos) << name;
    });
}

TEST_F(StatusTest, TheLogFilterChangesAtRunTime) {
    log::start({.filter = observe::LogFilter::parse("warn").value()});
    EXPECT_FALSE(log::enabled(Severity::debug, "stator::test"));
    with_server([](StatusTest* test) -> Task<> {
        const auto changed = co_await test->post("/debug/log", "warn,stator::test=debug");
        EXPECT_EQ(changed.status, 200U);
        EXPECT_TRUE(log::enabled(Severity::debug, "stator::test"));
        EXPECT_FALSE(log::enabled(Severity::info, "stator::other"));
        for (const auto* bad : {"", "a=loud", "a b"})
            EXPECT_EQ((co_await test->post("/debug/log", bad)).status, 400U) << bad;
        EXPECT_TRUE(log::enabled(Severity::debug, "stator::test"));
        EXPECT_EQ((co_await test->get("/debug/log")).status, 405U);
    });
}

TEST_F(StatusTest, TheApplicationsRoutesRunOnThePrimaryPool) {
    options.engine.add("a/b", [](http::Request request) -> Task<Response> {
        co_return Response::text(200, Loop::current()->name() + " " + request.body);
    });
    options.engine.add("fails", [](http::Request) -> Task<Response> {
        throw Error{ErrorCode::invalid_request, "no"};
        co_return Response{};
    });
    options.engine.add("throws", [](http::Request) -> Task<Response> {
        throw Error{ErrorCode::permission_denied, "not yet a task"};
    });
    with_server([](StatusTest* test) -> Task<> {
        EXPECT_EQ((co_await test->post("/engine/a/b", "hi")).body, "primary-0 hi");
        EXPECT_EQ((co_await test->get("/engine/a/b")).body, "primary-0 ");
        EXPECT_EQ((co_await test->get("/engine/fails")).status, 400U);
        EXPECT_EQ((co_await test->get("/engine/throws")).status, 403U);
        EXPECT_EQ((co_await test->get("/engine/c")).status, 404U);
        test->options.engine.remove("a/b");
        EXPECT_EQ((co_await test->get("/engine/a/b")).status, 404U);
        for (const auto* path : {"", "/a", "a/", "a b"})
            EXPECT_THROW(test->options.engine.add(path, {}), Error) << path;
    });
}

/// The pages and what they answer with, before anything is served.
constexpr std::pair<const char*, unsigned> pages[] = {
    {"/live", 200},
    {"/ready", 503},
    {"/health", 503},
    {"/metrics", 200},
    {"/metadata", 404},
    {"/debug/streams", 200},
    {"/debug/config", 200},
    {"/engine/echo", 200},
    {"/nowhere", 404},
};

net::Security security_of(const settings::TlsSettings& tls) {
    return net::Security::load(tls).value();
}

// NOLINTBEGIN(cppcoreguidelines-avoid-capturing-lambda-coroutines): with_server keeps its body
class StatusOverTlsTest : public StatusTest {
public:
    void serve_with(const settings::TlsSettings& tls) {
        options.security = security_of(tls);
        options.engine.add("echo", [](http::Request request) -> Task<Response> {
            co_return Response::text(200, request.body);
        });
    }
    Task<Response> ask(settings::TlsSettings tls, http::Request request) {
        co_return co_await http::fetch(
            address, std::move(request), {.security = security_of(tls), .limits = {}}
        );
    }
    Task<Response> ask(settings::TlsSettings tls, std::string target) {
        co_return co_await ask(std::move(tls), http::Request{.target = std::move(target)});
    }
    const Certificates certificates;
};

TEST_F(StatusOverTlsTest, EveryPageIsServed) {
    serve_with(certificates.server());
    with_server([this](StatusTest*) -> Task<> {
        for (const auto& [path, status] : pages)
            EXPECT_EQ((co_await ask(certificates.client(), path)).status, status) << path;
        const auto posted = co_await ask(
            certificates.client(),
            {.method = http::Method::post, .target = "/engine/echo", .body = "hi"}
        );
        EXPECT_EQ(posted.body, "hi");
    });
}

TEST_F(StatusOverTlsTest, PlainRequestsAndForeignAuthoritiesGetNothing) {
    serve_with(certificates.server());
    const Certificates others;
    with_server([this, &others](StatusTest*) -> Task<> {
        for (const auto& [path, status] : pages) {
            EXPECT_FALSE(co_await as_result(get(path))) << path;
            EXPECT_FALSE(co_await as_result(ask(others.client(), path))) << path;
        }
        EXPECT_EQ((co_await ask(certificates.client(), "/live")).status, 200U);
    });
}

TEST_F(StatusOverTlsTest, WhereCertificatesAreAskedForNobodyElseIsAnswered) {
    serve_with(certificates.mutual());
    options.settings.worker.remote_control = true;
    const Certificates others;
    with_server([this, &others](StatusTest*) -> Task<> {
        for (const auto& [path, status] : pages) {
            EXPECT_EQ((co_await ask(certificates.mutual(), path)).status, status) << path;
            EXPECT_FALSE(co_await as_result(ask(certificates.client(), path))) << path;
            EXPECT_FALSE(co_await as_result(ask(others.mutual(), path))) << path;
        }
        const auto cluster = co_await join();
        const auto served = co_await cluster.endpoint("demo.backend.generate").start(echo);
        EXPECT_EQ((co_await ask(certificates.mutual(), "/ready")).status, 200U);
        const http::Request drain{.method = http::Method::post, .target = "/drain"};
        EXPECT_FALSE(co_await as_result(ask(certificates.client(), drain)));
        EXPECT_EQ((co_await ask(certificates.mutual(), "/ready")).status, 200U);
        EXPECT_EQ((co_await ask(certificates.mutual(), drain)).status, 200U);
        EXPECT_EQ((co_await ask(certificates.mutual(), "/ready")).status, 503U);
    });
}

/// Whoever may only reach it may not end what it serves.
TEST_F(StatusOverTlsTest, DrainingNeedsAClientsCertificate) {
    serve_with(certificates.server());
    options.settings.worker.remote_control = true;
    with_server([this](StatusTest*) -> Task<> {
        for (const auto* path : {"/drain", "/resume"}) {
            const auto refused =
                co_await ask(certificates.client(), {.method = http::Method::post, .target = path});
            EXPECT_EQ(refused.status, 403U) << path << refused.body;
        }
    });
}

// NOLINTEND(cppcoreguidelines-avoid-capturing-lambda-coroutines)

TEST_F(StatusTest, AnswersWhileEveryPrimaryLoopIsHeld) {
    options.settings.system.live_stall = 50ms;
    options.engine.add("late", [](http::Request) -> Task<Response> {
        co_return Response::text(200, "late");
    });
    std::atomic<bool> release{false};
    run([&](ClusterTest*) -> Task<> {
        std::atomic<bool> ended{false};
        auto look = [](StatusTest* test, std::atomic<bool>* let_go) -> Task<> {
            // Already held: the task below is on the only primary loop.
            while ((co_await test->get("/live")).status == 200) co_await sleep_for(5ms);
            const auto live = co_await test->get("/live");
            EXPECT_NE(live.body.find("primary-0 is held"), std::string::npos) << live.body;
            EXPECT_EQ((co_await test->get("/ready")).status, 503U);
            EXPECT_EQ((co_await test->get("/metrics")).status, 200U);
            EXPECT_EQ((co_await test->get("/debug/streams")).status, 200U);
            TaskScope scope;
            auto late = [](StatusTest* of) -> Task<> {
                EXPECT_EQ((co_await of->get("/engine/late")).body, "late");
            };
            scope.spawn(late(test));
            EXPECT_EQ((co_await test->get("/health")).status, 503U);
            *let_go = true;
            co_await scope.join();
            while ((co_await test->get("/live")).status != 200) co_await sleep_for(5ms);
        };
        std::function<Task<>(StatusTest*)> body = [&](StatusTest* test) {
            return look(test, &release);
        };
        auto all = [](StatusTest* test,
                      std::function<Task<>(StatusTest*)>* what,
                      std::atomic<bool>* done,
                      std::atomic<bool>* let_go) -> Task<> {
            const auto result = co_await as_result(test->serve(what));
            *let_go = true;
            *done = true;
            if (!result) throw result.error();
        };
        TaskScope scope;
        scope.spawn_on(runtime().secondary().loop(0), all(this, &body, &ended, &release));
        while (!release) {
        }
        co_await scope.join();
    });
}

}  // namespace
}  // namespace stator::testing
