// Discovery over a real folder, with other threads and other implementations' records.
#include <atomic>
#include <chrono>
#include <fstream>
#include <thread>

#include <gtest/gtest.h>

#include "stator/discovery/discovery.hpp"
#include "stator/store/file_store.hpp"
#include "tests/store/store_fixture.hpp"

namespace stator::discovery {
namespace {

using test::require;
using namespace std::chrono_literals;
namespace fs = std::filesystem;

const EndpointId endpoint{"my-ns", "my_comp", "gen_er-ate"};

Instance instance(std::uint64_t id) {
    return Instance{
        .endpoint = endpoint,
        .id = InstanceId{id},
        .transport = {TransportKind::tcp, "127.0.0.1:4000/x"},
        .device_type = std::nullopt,
        .request_plane_codec = std::nullopt,
        .mux = MuxAddress{.address = "127.0.0.1:" + std::to_string(4000 + id)},
    };
}

/// What one process has: a store and a discovery on it.
struct Party {
    std::shared_ptr<store::FileStore> store;
    std::shared_ptr<Discovery> discovery;
};

Task<Party> open_party(Loop* loop, fs::path root) {
    auto store = co_await store::FileStore::open(*loop, {.root = std::move(root)});
    co_return Party{store, std::make_shared<Discovery>(store)};
}

Task<> close_party(Party party) {
    co_await party.discovery->close();
    co_await party.store->close(Deadline::in(5s));
}

class FileDiscoveryTest : public testing::Test {
protected:
    void SetUp() override {
        worker_ = *loops_.run(open_party(&loops_.secondary(), folder_.path()));
        client_ = *loops_.run(open_party(&loops_.secondary(), folder_.path()));
    }
    void TearDown() override {
        EXPECT_RUNS(loops_, close_party(worker_));
        EXPECT_RUNS(loops_, close_party(client_));
    }
    fs::path bucket() const { return folder_.path() / "v1" / "instances"; }

    test::RecordingSink sink_;
    test::TemporaryFolder folder_;
    test::Loops loops_;
    Party worker_;
    Party client_;
};

Task<std::shared_ptr<const InstanceSet>> wait_for_count(
    std::shared_ptr<EndpointWatch> watch, std::size_t count
) {
    auto set = watch->instances();
    while (set->routable.size() != count)
        set = co_await with_deadline(
            Deadline::in(test::patience), watch->wait_for_change(set->version)
        );
    co_return set;
}

Task<> register_and_leave(Party worker, Party client) {
    const auto watch = co_await client.discovery->watch(endpoint);
    EXPECT_TRUE(watch->instances()->routable.empty());
    const auto lease = co_await worker.store->grant_lease({});
    const auto registration = co_await worker.discovery->publish(instance(7), lease);
    const auto set = co_await wait_for_count(watch, 1);
    EXPECT_EQ(*set->routable[0], instance(7));
    EXPECT_EQ(registration.state(), RegistrationState::registered);
    EXPECT_TRUE(co_await registration.unpublish(Deadline::in(5s)));
    co_await wait_for_count(watch, 0);
}

TEST_F(FileDiscoveryTest, SeesInstancesComeAndGo) {
    EXPECT_RUNS(loops_, register_and_leave(worker_, client_));
    EXPECT_TRUE(fs::is_empty(bucket()));
}

TEST_F(FileDiscoveryTest, FindsWhatTheOriginalHasWritten) {
    fs::create_directories(bucket());
    std::ofstream{
        bucket() / "my%2Dns%2Fmy%5Fcomp%2Fgen%5Fer%2Date%2F92e42ca7e33730ff"
    } << R"({"type":"Endpoint","component":"my_comp","endpoint":"gen_er-ate","namespace":"my-ns",)"
      << R"("instance_id":10584634123810713855,"transport":{"tcp":)"
      << R"("127.0.0.9:45405/92e42ca7e33730ff/my-ns/my_comp/gen_er-ate"},)"
      << R"("device_type":"cuda","request_plane_codec":"msgpack"})";
    const auto watch = loops_.run(client_.discovery->watch(endpoint));
    ASSERT_TRUE(watch);
    const auto set = loops_.run(wait_for_count(*watch, 1));
    ASSERT_TRUE(set);
    EXPECT_EQ((*set)->routable[0]->id, InstanceId{0x92e42ca7e33730ff});
    EXPECT_EQ((*set)->routable[0]->codec(), PayloadCodec::msgpack);
}

Task<> corrupt_records(Party worker, Party client, fs::path bucket) {
    fs::create_directories(bucket);
    std::ofstream{bucket / "my%2Dns%2Fmy%5Fcomp%2Fgen%5Fer%2Date%2F1"} << "{\"type\":";
    std::ofstream{bucket / "my%2Dns%2Fmy%5Fcomp%2Fgen%5Fer%2Date%2F2"} << std::string(5000, '[');
    std::ofstream{bucket / "not a record"} << "x";
    co_await worker.discovery->publish(instance(7), {});
    for (int i = 0; i < 3; ++i) {
        const auto watch = co_await client.discovery->watch(endpoint);
        co_await wait_for_count(watch, 1);
        EXPECT_EQ((co_await client.discovery->list_all()).size(), 1U);
    }
}

TEST_F(FileDiscoveryTest, CorruptRecordsAreSkippedAndReportedOnce) {
    EXPECT_RUNS(loops_, corrupt_records(worker_, client_, bucket()));
    EXPECT_EQ(sink_.warnings("gen_er-ate/1\""), 1U);
    EXPECT_EQ(sink_.warnings("gen_er-ate/2\""), 1U);
    EXPECT_EQ(sink_.warnings("not a record"), 1U);
}

Task<> swept(Party worker, Party client, fs::path bucket) {
    const auto watch = co_await client.discovery->watch(endpoint);
    const auto lease = co_await worker.store->grant_lease({});
    const auto registration = co_await worker.discovery->publish(instance(7), lease);
    co_await wait_for_count(watch, 1);
    watch->report(InstanceId{7}, LinkEvent::healthy);
    auto version = watch->instances()->version;
    fs::remove(*fs::directory_iterator{bucket});
    // Removed and added again, by its owner. It answers: never out of routing meanwhile.
    while (lease.recoveries() == 0 || registration.state() != RegistrationState::registered ||
           watch->instances()->members[0].standing != Standing::ready) {
        require(watch->instances()->routable.size() == 1, "it stays routable");
        co_await sleep_for(1ms);
    }
    EXPECT_EQ(watch->instances()->routable.size(), 1U);
    EXPECT_GE(watch->instances()->version, version);
}

TEST_F(FileDiscoveryTest, ASweptInstanceThatAnswersStaysRoutable) {
    EXPECT_RUNS(loops_, swept(worker_, client_, bucket()));
}

Task<> churn(Party worker, std::uint64_t from, int count) {
    for (int i = 0; i < count; ++i) {
        const auto id = from + static_cast<std::uint64_t>(i);
        const auto registration = co_await worker.discovery->publish(instance(id), {});
        if (i % 3 != 0) co_await registration.unpublish(Deadline::in(5s));
    }
}

/// Reports from several threads while the store changes, and readers on each: nothing tears.
TEST_F(FileDiscoveryTest, ReportsAndChangesMayCross) {
    const auto opened = loops_.run(client_.discovery->watch(endpoint));
    ASSERT_TRUE(opened);
    const auto watch = *opened;
    std::atomic<bool> done{false};
    std::atomic<int> bad{0};
    std::vector<std::jthread> threads;
    for (std::uint64_t seed = 1; seed <= 2; ++seed) {
        threads.emplace_back([&, seed] {
            Random random{seed};
            auto reader = watch->reader();
            std::uint64_t last = 0;
            while (!done) {
                const auto set = reader.get();
                if (set->version < last || set->routable.size() > set->members.size()) ++bad;
                last = set->version;
                if (set->members.empty()) continue;
                const auto& member = set->members[random.below(set->members.size())];
                watch->report(member.instance->id, static_cast<LinkEvent>(1 + random.below(7)));
                if (random.below(50) == 0)
                    client_.discovery->report(member.instance->mux->address, LinkEvent::healthy);
            }
        });
    }
    EXPECT_RUNS(loops_, when_all(churn(worker_, 1, 60), churn(worker_, 1001, 60)));
    done = true;
    threads.clear();
    EXPECT_EQ(bad, 0);
    // In the end the set is what the folder holds.
    const auto listed = loops_.run(client_.discovery->list_all());
    ASSERT_TRUE(listed);
    EXPECT_EQ(listed->size(), 40U);
    for (const auto& one : *listed) watch->report(one.id, LinkEvent::closed);
    EXPECT_RUNS(loops_, [](std::shared_ptr<EndpointWatch> seen) -> Task<> {
        auto set = seen->instances();
        while (set->members.size() != 40)
            set = co_await with_deadline(
                Deadline::in(test::patience), seen->wait_for_change(set->version)
            );
    }(watch));
}

}  // namespace
}  // namespace stator::discovery
