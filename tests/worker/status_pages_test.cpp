// What the status server shows.
#include "worker/status_pages.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace stator {
namespace {

using namespace std::chrono_literals;
using observe::InstanceState;
using Json = nlohmann::json;

class View final : public observe::InstanceView {
public:
    observe::InstanceHealth health() const override {
        return {"a.b.generate", "1f", InstanceState::ready, ""};
    }
    std::optional<std::string> record() const override { return record_; }
    std::vector<observe::RequestView> requests() const override { return requests_; }

    std::optional<std::string> record_;
    std::vector<observe::RequestView> requests_;
};

TEST(StatusPages, HealthIsInTheOriginalsFormWithTheReasons) {
    const observe::HealthReport report{
        .ready = false,
        .reasons = {"a.b.generate 2 is recovering"},
        .instances =
            {{"a.b.generate", "1", InstanceState::ready, ""},
             {"a.b.generate", "2", InstanceState::recovering, "why"},
             {"a.b.other", "1", InstanceState::ready, ""}},
    };
    const auto page = health_page(report, 1500ms);
    EXPECT_EQ(page.status, 503U);
    EXPECT_EQ(page.content_type, "application/json");
    EXPECT_EQ(Json::parse(page.body), Json::parse(R"({
            "status": "notready",
            "uptime": {"secs": 1, "nanos": 500000000},
            "endpoints": {"generate": "notready", "other": "ready"},
            "instances": [
                {"endpoint": "a.b.generate", "instance_id": "1", "state": "ready"},
                {"endpoint": "a.b.generate", "instance_id": "2", "state": "recovering",
                 "reason": "why"},
                {"endpoint": "a.b.other", "instance_id": "1", "state": "ready"}],
            "reasons": ["a.b.generate 2 is recovering"]})"));
    EXPECT_EQ(health_page({.ready = true}, 0s).status, 200U);
}

TEST(StatusPages, ReadyAndLiveSayWhyNot) {
    EXPECT_EQ(ready_page({.ready = true}).status, 200U);
    const auto not_ready = ready_page({.ready = false, .reasons = {"x\xff"}});
    EXPECT_EQ(not_ready.status, 503U);
    EXPECT_EQ(Json::parse(not_ready.body)["reasons"], Json::parse("[\"x\\ufffd\"]"));
    EXPECT_EQ(live_page({}, 1s).status, 200U);
    EXPECT_EQ(live_page({"loop primary-0 is held"}, 1s).status, 503U);
}

TEST(StatusPages, MetadataIsTheRecordsOrNothing) {
    const auto view = std::make_shared<View>();
    EXPECT_EQ(metadata_page({}).status, 404U);
    EXPECT_EQ(metadata_page({view}).status, 404U);
    view->record_ = R"({"namespace":"a"})";
    const auto page = metadata_page({view});
    EXPECT_EQ(page.status, 200U);
    EXPECT_EQ(Json::parse(page.body), Json::parse(R"({"instances":[{"namespace":"a"}]})"));
}

TEST(StatusPages, StreamsAreBoundedAndTheOldestComeFirst) {
    const auto view = std::make_shared<View>();
    for (int i = 0; i < 1500; ++i)
        view->requests_.push_back({std::to_string(i), std::chrono::seconds{i}, "live"});
    const auto shown = Json::parse(streams_page({view}).body);
    EXPECT_EQ(shown["count"], 1500);
    EXPECT_EQ(shown["instances"][0]["count"], 1500);
    EXPECT_EQ(shown["instances"][0]["requests"].size(), 1000U);
    EXPECT_EQ(shown["instances"][0]["requests"][0]["id"], "1499");
    EXPECT_EQ(shown["instances"][0]["requests"][0]["age_seconds"], 1499.0);
}

TEST(StatusPages, SettingsAreShownWithoutTheirSecrets) {
    settings::Settings settings;
    settings.nats.server = "nats://user:p@ss@host:4222";
    settings.etcd.endpoints = {"http://u:v@a:1", "http://b:2"};
    const auto shown = Json::parse(config_page(settings).body);
    bool seen = false;
    for (const auto& entry : shown) {
        if (entry["name"] != "nats.server") continue;
        EXPECT_EQ(entry["value"], "nats://***@host:4222");
        EXPECT_EQ(entry["source"], "default");
        seen = true;
    }
    EXPECT_TRUE(seen);
    EXPECT_EQ(without_secrets("http://u:v@a:1,http://b:2"), "http://***@a:1,http://b:2");
    EXPECT_EQ(without_secrets("a@b, c"), "a@b, c");
}

}  // namespace
}  // namespace stator
