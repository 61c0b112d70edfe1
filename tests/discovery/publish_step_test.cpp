// Publishing where the store fails at step n, for every n: everything is there, or nothing.
#include <map>
#include <set>

#include <gtest/gtest.h>

#include "stator/discovery/discovery.hpp"
#include "stator/store/key_value_store.hpp"
#include "tests/runtime/loop_fixture.hpp"

namespace stator::discovery {
namespace {

using namespace std::chrono_literals;

const EndpointId endpoint{"ns", "comp", "ep"};

Instance instance() {
    return Instance{
        .endpoint = endpoint,
        .id = InstanceId{1},
        .transport = {TransportKind::tcp, "127.0.0.1:1000/x"},
        .device_type = std::nullopt,
        .request_plane_codec = PayloadCodec::msgpack,
        .mux = MuxAddress{.address = "127.0.0.1:1000"},
    };
}

ModelRecord model() { return {endpoint, InstanceId{1}, R"({"display_name":"m"})"}; }

/// Keeps what is written; fails at the step it is told, before or after it is done.
class FailingStore final : public store::KeyValueStore {
public:
    explicit FailingStore(Loop& loop) : KeyValueStore{loop} {}
    std::string_view backend() const noexcept override { return "failing"; }

    std::map<std::string, std::string> entries;
    std::set<int> fail_before;
    std::set<int> fail_after;
    int steps = 0;

private:
    using Lease = std::shared_ptr<store::LeaseBody>;
    static void fail_if(bool wanted) {
        if (wanted) throw Error{ErrorCode::unavailable, "test.step", "the store fails here"};
    }
    /// What `change` gives, unless this is a step that fails.
    template <class Change>
    auto step(Change change) {
        const int number = steps++;
        fail_if(fail_before.contains(number));
        auto result = change();
        fail_if(fail_after.contains(number));
        return result;
    }

    Task<Lease> do_grant_lease(store::LeaseOptions options) override {
        co_return step([&] { return add_lease(10s, 3s, options.bound_to); });
    }
    Task<> do_refresh(Lease) override { co_return; }
    Task<> do_revoke(Lease) override { co_return; }
    Task<std::optional<store::Entry>> do_get(std::string key) override {
        co_return step([&]() -> std::optional<store::Entry> {
            const auto found = entries.find(key);
            if (found == entries.end()) return std::nullopt;
            return store::Entry{found->first, found->second};
        });
    }
    Task<std::vector<store::Entry>> do_list(std::string) override {
        co_return std::vector<store::Entry>{};
    }
    Task<> do_put(std::string key, std::string value, Lease) override {
        step([&] { return entries[key] = value; });
        co_return;
    }
    Task<bool> do_create(std::string key, std::string value, Lease) override {
        co_return step([&] { return entries.emplace(key, value).second; });
    }
    Task<bool> do_remove(std::string key) override {
        co_return step([&] { return entries.erase(key) > 0; });
    }
    Task<store::Watch> do_watch(std::string) override {
        throw Error{ErrorCode::unimplemented, "nobody watches here"};
    }
    Task<> do_close() override { co_return; }
};

class PublishStepTest : public testing::TestWithParam<bool> {
protected:
    ~PublishStepTest() override {
        loop_.run(discovery_.close());
        loop_.run(store_->close(Deadline::in(1s)));
    }
    void fail_at(int step) {
        store_->steps = 0;
        store_->fail_before.clear();
        store_->fail_after.clear();
        (GetParam() ? store_->fail_after : store_->fail_before).insert(step);
    }
    template <class T>
    test::Outcome<T> play(Task<T> task) {
        auto outcome = loop_.run(std::move(task));
        for (int i = 0; i < 100 && !outcome.done(); ++i) loop_.advance(100ms);
        EXPECT_TRUE(outcome.done()) << "bounded";
        return outcome;
    }

    test::TestLoop loop_;
    std::shared_ptr<FailingStore> store_ = std::make_shared<FailingStore>(loop_.loop());
    Discovery discovery_{store_};
};

TEST_P(PublishStepTest, BothRecordsAreThereOrNone) {
    bool failed = true;
    int step = 0;
    for (; failed; ++step) {
        SCOPED_TRACE(step);
        ASSERT_LT(step, 20);
        fail_at(step);
        const auto published = play(discovery_.publish(instance(), {model()}, {}));
        failed = store_->steps > step;  // else it was published before so many steps
        EXPECT_EQ(published.ok(), !failed) << published.message();
        EXPECT_EQ(store_->entries.size(), failed ? 0U : 2U);
        if (failed) EXPECT_EQ(published.error(), ErrorCode::unavailable);
    }
    EXPECT_GE(step, 3) << "two records, and what goes before them";
}

TEST_P(PublishStepTest, UnpublishingGetsOverEachStep) {
    bool failed = true;
    int step = 0;
    for (; failed; ++step) {
        SCOPED_TRACE(step);
        ASSERT_LT(step, 20);
        fail_at(1000);
        const auto published = play(discovery_.publish(instance(), {model()}, {}));
        ASSERT_TRUE(published.ok()) << published.message();
        fail_at(step);
        const auto gone = play(published.value().unpublish(Deadline::at(loop_.clock().now() + 5s)));
        failed = store_->steps > step;
        EXPECT_TRUE(gone.ok() && gone.value());
        EXPECT_TRUE(store_->entries.empty());
    }
    EXPECT_GE(step, 2);
}

TEST_P(PublishStepTest, WhatAnotherHasWrittenStays) {
    for (const auto* key : {"v1/mdc/ns/comp/ep/1", "v1/instances/ns/comp/ep/1"}) {
        for (int step = 0; step < 6; ++step) {
            SCOPED_TRACE(step);
            store_->entries = {{key, "{}"}};
            fail_at(step);
            const auto published = play(discovery_.publish(instance(), {model()}, {}));
            EXPECT_FALSE(published.ok());
            EXPECT_EQ(store_->entries, (std::map<std::string, std::string>{{key, "{}"}}));
        }
    }
}

INSTANTIATE_TEST_SUITE_P(, PublishStepTest, testing::Bool(), [](const auto& info) {
    return info.param ? "After" : "Before";
});

}  // namespace
}  // namespace stator::discovery
