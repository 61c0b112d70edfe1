// An instance and its models in a store: what comes first, what goes first, what is undone.
#include <gtest/gtest.h>

#include "stator/discovery/discovery.hpp"
#include "stator/store/memory_store.hpp"
#include "tests/runtime/loop_fixture.hpp"

namespace stator::discovery {
namespace {

using namespace std::chrono_literals;
using test::Outcome;

const EndpointId endpoint{"ns", "comp", "ep"};
constexpr auto model_key = "v1/mdc/ns/comp/ep/1";
constexpr auto instance_key = "v1/instances/ns/comp/ep/1";

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

class ModelRegistrationTest : public testing::Test {
protected:
    ~ModelRegistrationTest() override {
        loop_.run(discovery_.close());
        loop_.run(store_->close(Deadline::in(1s)));
        loop_.run(other_->close(Deadline::in(1s)));
    }
    template <class T>
    T get(Task<T> task) {
        auto outcome = loop_.run(std::move(task));
        if (!outcome.done()) throw std::logic_error{"the task still waits"};
        if (!outcome.ok()) throw std::logic_error{outcome.message()};
        if constexpr (!std::is_void_v<T>) return std::move(outcome.value());
    }
    std::shared_ptr<store::MemoryStore> open() {
        const auto* test = testing::UnitTest::GetInstance()->current_test_info();
        return store::MemoryStore::open(loop_.loop(), {.name = test->name()});
    }
    /// What is there, as "m", "i" or "mi".
    std::string present() {
        std::string text;
        if (get(other_->get(model_key))) text += 'm';
        if (get(other_->get(instance_key))) text += 'i';
        return text;
    }
    std::string stored_model() {
        const auto entry = get(other_->get(model_key));
        return entry ? entry->value : std::string{};
    }
    /// The changes of both buckets from now on, "+m +i -i -m", in `seen_`.
    void watch() {
        for (const auto* bucket : {"v1/mdc/", "v1/instances/"})
            loop_.start(note_changes(get(other_->watch(bucket)), &seen_));
        loop_.settle();
    }
    static Task<> note_changes(store::Watch watch, std::string* seen) {
        while (const auto event = co_await watch.next()) {
            using Kind = store::WatchEvent::Kind;
            if (event->kind != Kind::put && event->kind != Kind::removed) continue;
            if (!seen->empty()) *seen += ' ';
            *seen += event->kind == Kind::put ? '+' : '-';
            *seen += event->entry.key.starts_with("v1/mdc/") ? 'm' : 'i';
        }
    }

    test::TestLoop loop_;
    std::string seen_;
    std::shared_ptr<store::MemoryStore> store_ = open();
    std::shared_ptr<store::MemoryStore> other_ = open();  // another process, so to speak
    Discovery discovery_{store_};
};

TEST_F(ModelRegistrationTest, AModelComesBeforeItsInstanceAndGoesAfterIt) {
    watch();
    const auto registration = get(discovery_.publish(instance(), {model()}, {}));
    EXPECT_EQ(registration.key(), instance_key);
    EXPECT_EQ(present(), "mi");
    EXPECT_EQ(stored_model(), to_record(model()).value());
    EXPECT_TRUE(get(registration.unpublish(Deadline::in(1s))));
    EXPECT_EQ(present(), "");
    EXPECT_EQ(seen_, "+m +i -i -m");
}

TEST_F(ModelRegistrationTest, BothHangOnTheLease) {
    auto token = CancellationToken::make();
    const auto lease = get(store_->grant_lease({.bound_to = token}));
    const auto registration = get(discovery_.publish(instance(), {model()}, lease));
    store_->simulate_loss(lease);
    loop_.settle();
    EXPECT_EQ(registration.state(), RegistrationState::recovering);
    loop_.advance(10s);
    EXPECT_EQ(registration.state(), RegistrationState::registered);
    EXPECT_EQ(present(), "mi") << "both are kept alive";
    token.cancel();
    loop_.settle();
    EXPECT_EQ(present(), "");
    EXPECT_EQ(registration.state(), RegistrationState::gone);
}

TEST_F(ModelRegistrationTest, NothingIsLeftOfAModelWhoseInstanceCannotBePublished) {
    get(other_->put(instance_key, "{}"));
    const auto outcome = loop_.run(discovery_.publish(instance(), {model()}, {}));
    EXPECT_EQ(outcome.error(), ErrorCode::already_exists);
    EXPECT_EQ(present(), "i") << "the other one's";
}

TEST_F(ModelRegistrationTest, NoInstanceIsPublishedWithoutItsModel) {
    get(other_->put(model_key, "{}"));
    const auto outcome = loop_.run(discovery_.publish(instance(), {model()}, {}));
    EXPECT_EQ(outcome.error(), ErrorCode::already_exists);
    EXPECT_EQ(present(), "m");
    EXPECT_EQ(stored_model(), "{}") << "untouched";
}

TEST_F(ModelRegistrationTest, AnOutageBetweenTheRecordsEndsInNeither) {
    // The first record is seen by the other one, who takes the store away at once.
    loop_.start([](std::shared_ptr<store::MemoryStore> store, store::Watch watch) -> Task<> {
        while (const auto event = co_await watch.next()) {
            if (event->kind == store::WatchEvent::Kind::put) store->simulate_outage(true);
        }
    }(store_, get(other_->watch("v1/mdc/"))));
    loop_.settle();
    auto outcome = loop_.run(discovery_.publish(instance(), {model()}, {}));
    for (int i = 0; i < 20 && !outcome.done(); ++i) loop_.advance(100ms);
    store_->simulate_outage(false);
    ASSERT_TRUE(outcome.done()) << "bounded";
    if (outcome.error() != ErrorCode::unavailable) {
        // The instance's record was faster than the outage.
        EXPECT_TRUE(get(outcome.value().unpublish(Deadline::in(1s))));
    }
    for (int i = 0; i < 20; ++i) loop_.advance(1s);  // nothing renews what was given up
    EXPECT_EQ(get(other_->get(instance_key)), std::nullopt);
}

TEST_F(ModelRegistrationTest, UnpublishingIsTriedAgainForBoth) {
    const auto registration = get(discovery_.publish(instance(), {model()}, {}));
    store_->simulate_outage(true);
    auto gone = loop_.run(registration.unpublish(Deadline::at(loop_.clock().now() + 10s)));
    loop_.advance(1s);
    EXPECT_FALSE(gone.done());
    store_->simulate_outage(false);
    loop_.advance(1s);
    ASSERT_TRUE(gone.done());
    EXPECT_TRUE(gone.value());
    EXPECT_EQ(present(), "");
}

TEST_F(ModelRegistrationTest, UnpublishingIsBounded) {
    const auto registration = get(discovery_.publish(instance(), {model()}, {}));
    store_->simulate_outage(true);
    auto gone = loop_.run(registration.unpublish(Deadline::at(loop_.clock().now() + 2s)));
    EXPECT_EQ(registration.state(), RegistrationState::draining) << "from the call on";
    for (int i = 0; i < 22 && !gone.done(); ++i) loop_.advance(100ms);
    ASSERT_TRUE(gone.done());
    EXPECT_FALSE(gone.value());
    store_->simulate_outage(false);
}

TEST_F(ModelRegistrationTest, RefusesTheModelOfAnother) {
    auto foreign = model();
    foreign.id = InstanceId{2};
    auto outcome = loop_.run(discovery_.publish(instance(), {foreign}, {}));
    EXPECT_EQ(outcome.error(), ErrorCode::invalid_request);
    auto bad = model();
    bad.card = "[]";
    outcome = loop_.run(discovery_.publish(instance(), {bad}, {}));
    EXPECT_EQ(outcome.error(), ErrorCode::invalid_request);
    EXPECT_EQ(present(), "");
}

TEST_F(ModelRegistrationTest, ModelsAreListed) {
    const auto registration = get(discovery_.publish(instance(), {model()}, {}));
    get(other_->put(
        "v1/mdc/ns/other/ep/2",
        R"({"type":"Model","namespace":"ns","component":"other",)"
        R"("endpoint":"ep","instance_id":2,"card_json":{}})"
    ));
    get(other_->put("v1/mdc/ns/comp/ep/bad", "{}"));
    EXPECT_EQ(get(discovery_.list_models()).size(), 2U);
    const auto here = get(discovery_.list_models(endpoint));
    ASSERT_EQ(here.size(), 1U);
    EXPECT_EQ(here[0], model());
}

}  // namespace
}  // namespace stator::discovery
