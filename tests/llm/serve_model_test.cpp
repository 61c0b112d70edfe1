// Serving models in a cluster inside one process: records, conflicts, what is undone.
#include "stator/llm/serve_model.hpp"

#include <atomic>
#include <string_view>

#include <gtest/gtest.h>

#include "stator/base/sink.hpp"
#include "stator/llm/text_model.hpp"
#include "stator/runtime/combinators.hpp"
#include "tests/component/cluster_fixture.hpp"
#include "tests/llm/captures.hpp"

namespace stator::llm {
namespace {

using namespace std::chrono_literals;
using stator::testing::ClusterTest;
using stator::testing::collect;

constexpr auto path = "dyn.backend.generate";

Stream<TextChunk> talk(Context context, TextRequest request) {
    const Answer answer{context, request};
    co_yield answer.text(request.text());
    co_yield answer.finish(FinishReason::stop);
}

Task<std::optional<Error>> failure_of(Task<ServedEndpoint> task) {
    auto result = co_await as_result(std::move(task));
    if (result) co_return std::nullopt;
    co_return result.error();
}

Task<ServedEndpoint> start(DistributedRuntime cluster, ModelCard card, OnConflict how = {}) {
    return register_model(
        cluster.endpoint(path), std::move(card), make_handler(talk), {.on_conflict = how}
    );
}

class ServeModelTest : public ClusterTest {};

TEST_F(ServeModelTest, PublishesBothRecordsAndTakesBothBack) {
    run([](ClusterTest* test) -> Task<> {
        const auto cluster = co_await test->join();
        const auto other = co_await test->join();
        const auto served = co_await start(cluster, {.name = "Org/M"});
        const auto models = co_await other.discovery().list_models();
        const auto instances = co_await other.discovery().list_all();
        EXPECT_EQ(models.size(), 1U);
        EXPECT_EQ(instances.size(), 1U);
        if (models.empty() || instances.empty()) co_return;
        EXPECT_EQ(models[0].id, instances[0].id);
        EXPECT_EQ(models[0].endpoint, instances[0].endpoint);
        EXPECT_EQ(models[0].card, ModelCard{.name = "Org/M"}.to_json().value());
        co_await served.shutdown(Deadline::in(5s));
        EXPECT_TRUE((co_await other.discovery().list_models()).empty());
        EXPECT_TRUE((co_await other.discovery().list_all()).empty());
    });
}

TEST_F(ServeModelTest, TheHandlerIsAnEndpointLikeOthers) {
    run([](ClusterTest* test) -> Task<> {
        const auto cluster = co_await test->join();
        const auto served = co_await start(cluster, {.name = "m"});
        const auto client = co_await cluster.endpoint(path).client();
        co_await client.wait_for_instances(Deadline::in(5s));
        const Router<Raw, Raw> router{client};
        const Raw request{Bytes::copy_of(R"({"messages":[{"role":"user","content":"hello"}]})")};
        auto chunks = co_await collect(router.generate(request, {.codec = PayloadCodec::json}));
        EXPECT_EQ(chunks.size(), 2U);
        if (chunks.empty()) co_return;
        EXPECT_EQ(
            test::Json::parse(chunks[0].bytes.to_string())["choices"][0]["delta"]["content"],
            "hello"
        );
        const Raw bad{Bytes::copy_of(R"({"prompt":3})")};
        const auto refused =
            co_await as_result(collect(router.generate(bad, {.codec = PayloadCodec::json})));
        EXPECT_FALSE(refused);
        if (!refused) EXPECT_EQ(refused.error().code(), ErrorCode::invalid_request);
    });
}

TEST_F(ServeModelTest, ABadCardServesNothing) {
    run([](ClusterTest* test) -> Task<> {
        const auto cluster = co_await test->join();
        const auto error = co_await failure_of(start(cluster, {.name = ""}));
        EXPECT_EQ(error.value_or(Error{ErrorCode::internal, ""}).detail(), "model.name");
        EXPECT_TRUE((co_await cluster.discovery().list_all()).empty());
    });
}

TEST_F(ServeModelTest, EqualCardsGoTogether) {
    run([](ClusterTest* test) -> Task<> {
        const auto one = co_await test->join();
        const auto two = co_await test->join();
        (void)co_await start(one, {.name = "m", .context_length = 8});
        (void)co_await start(two, {.name = "m", .context_length = 8});
        EXPECT_EQ((co_await one.discovery().list_models()).size(), 2U);
    });
}

TEST_F(ServeModelTest, AConflictingCardIsRefusedByName) {
    run([](ClusterTest* test) -> Task<> {
        const auto one = co_await test->join();
        const auto two = co_await test->join();
        (void)co_await start(one, {.name = "m", .context_length = 8});
        const auto error = co_await failure_of(start(two, {.name = "m", .context_length = 9}));
        EXPECT_TRUE(error);
        if (!error) co_return;
        EXPECT_EQ(error->code(), ErrorCode::already_exists);
        EXPECT_EQ(error->detail(), "model.conflict");
        EXPECT_NE(error->message().find("context_length"), std::string::npos) << error->message();
        EXPECT_NE(error->message().find(one.instance_id().to_string()), std::string::npos);
        EXPECT_EQ((co_await one.discovery().list_models()).size(), 1U);
        EXPECT_EQ((co_await one.discovery().list_all()).size(), 1U);
        // The same endpoint, and another model: no conflict.
        (void)co_await start(two, {.name = "n", .context_length = 9});
        EXPECT_EQ((co_await one.discovery().list_models()).size(), 2U);
    });
}

TEST_F(ServeModelTest, AConflictMayBeAccepted) {
    run([](ClusterTest* test) -> Task<> {
        const auto one = co_await test->join();
        const auto two = co_await test->join();
        (void)co_await start(one, {.name = "m"});
        (void)co_await start(two, {.name = "m", .source_path = "p"}, OnConflict::warn);
        EXPECT_EQ((co_await one.discovery().list_models()).size(), 2U);
    });
}

TEST_F(ServeModelTest, OfTwoThatStartTogetherAtMostOneStays) {
    threads = 2;
    run([](ClusterTest* test) -> Task<> {
        for (int round = 0; round < 10; ++round) {
            const auto one = co_await test->join();
            const auto two = co_await test->join();
            std::vector<Task<std::optional<Error>>> both;
            both.push_back(failure_of(start(one, {.name = "m", .context_length = 8})));
            both.push_back(failure_of(start(two, {.name = "m", .context_length = 9})));
            const auto errors = co_await when_all(std::move(both));
            const auto left = co_await one.discovery().list_models();
            EXPECT_LE(left.size(), 1U);
            for (const auto& error : errors) {
                if (error) EXPECT_EQ(error->detail(), "model.conflict");
            }
            co_await one.close(Deadline::in(5s));
            co_await two.close(Deadline::in(5s));
        }
    });
}

/// Counts the conflicts that are reported.
class Warnings final : public Sink {
public:
    Warnings() { set_sink(this); }
    Warnings(const Warnings&) = delete;
    Warnings& operator=(const Warnings&) = delete;
    ~Warnings() override { set_sink(nullptr); }
    void report(
        Severity severity, std::string_view, std::string_view message, std::source_location
    ) noexcept override {
        if (severity == Severity::warn && message.contains("context_length")) ++count_;
    }
    void count(std::string_view, std::uint64_t) noexcept override {}
    void gauge(std::string_view, double) noexcept override {}
    int take() noexcept { return count_.exchange(0); }

private:
    std::atomic<int> count_{0};
};

TEST_F(ServeModelTest, OfTwoThatStartTogetherAndAcceptConflictsBothStayAndOneSaysSo) {
    threads = 2;
    Warnings warnings;
    run([&warnings](ClusterTest* test) -> Task<> {
        for (int round = 0; round < 10; ++round) {
            const auto one = co_await test->join();
            const auto two = co_await test->join();
            std::vector<Task<std::optional<Error>>> both;
            constexpr auto how = OnConflict::warn;
            both.push_back(failure_of(start(one, {.name = "m", .context_length = 8}, how)));
            both.push_back(failure_of(start(two, {.name = "m", .context_length = 9}, how)));
            for (const auto& error : co_await when_all(std::move(both))) EXPECT_FALSE(error);
            EXPECT_EQ((co_await one.discovery().list_models()).size(), 2U);
            EXPECT_GE(warnings.take(), 1);
            co_await one.close(Deadline::in(5s));
            co_await two.close(Deadline::in(5s));
        }
    });
}

TEST_F(ServeModelTest, OfTwoThatStartTogetherAndDisagreeOnConflictsOneNoticesIt) {
    threads = 2;
    Warnings warnings;
    run([&warnings](ClusterTest* test) -> Task<> {
        for (int round = 0; round < 10; ++round) {
            const auto one = co_await test->join();
            const auto two = co_await test->join();
            std::vector<Task<std::optional<Error>>> both;
            both.push_back(failure_of(start(one, {.name = "m", .context_length = 8})));
            both.push_back(
                failure_of(start(two, {.name = "m", .context_length = 9}, OnConflict::warn))
            );
            const auto errors = co_await when_all(std::move(both));
            EXPECT_FALSE(errors[1]);
            if (errors[0]) EXPECT_EQ(errors[0]->detail(), "model.conflict");
            EXPECT_TRUE(errors[0] || warnings.take() >= 1);
            EXPECT_EQ((co_await one.discovery().list_models()).size(), errors[0] ? 1U : 2U);
            EXPECT_EQ((co_await one.discovery().list_all()).size(), errors[0] ? 1U : 2U);
            co_await one.close(Deadline::in(5s));
            co_await two.close(Deadline::in(5s));
            warnings.take();
        }
    });
}

}  // namespace
}  // namespace stator::llm
