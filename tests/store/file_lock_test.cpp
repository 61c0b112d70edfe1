// The file store and other processes: the lock, and owners that die.
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <fstream>

#include <gtest/gtest.h>

#include "stator/store/file_store.hpp"
#include "tests/store/child_process.hpp"
#include "tests/store/store_fixture.hpp"

namespace stator::store {
namespace {

using test::ChildProcess;
using test::error_of;
using test::next_description;
using test::next_event;
using test::require;
using namespace std::chrono_literals;
namespace fs = std::filesystem;
using Store = std::shared_ptr<FileStore>;

Task<Store> open_store(Loop* loop, FileStore::Options options) {
    co_return co_await FileStore::open(*loop, std::move(options));
}

class FileLockTest : public testing::Test {
protected:
    void SetUp() override { fs::create_directories(bucket()); }
    void TearDown() override {
        for (const auto& store : stores_) EXPECT_RUNS(loops_, store->close(Deadline::in(5s)));
    }
    Store open(FileStore::Options options) {
        options.root = folder_.path();
        auto opened = loops_.run(open_store(&loops_.secondary(), std::move(options)));
        EXPECT_TRUE(opened);
        stores_.push_back(*opened);
        return *opened;
    }
    fs::path bucket() const { return folder_.path() / "v1" / "test"; }

    test::RecordingSink sink_;
    test::TemporaryFolder folder_;
    test::Loops loops_;
    std::vector<Store> stores_;
};

/// The folder's lock, held through a descriptor of its own, as another process would.
class HeldLock {
public:
    explicit HeldLock(const fs::path& folder)
        : fd_{::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)} {
        EXPECT_EQ(::flock(fd_, LOCK_EX | LOCK_NB), 0);
    }
    HeldLock(const HeldLock&) = delete;
    HeldLock& operator=(const HeldLock&) = delete;
    ~HeldLock() { release(); }
    void release() {
        if (fd_ >= 0) ::close(std::exchange(fd_, -1));
    }

private:
    int fd_;
};

void age(const fs::path& path) {
    timespec then{};
    ::clock_gettime(CLOCK_REALTIME, &then);
    then.tv_sec -= 60;
    const timespec times[2] = {then, then};
    EXPECT_EQ(::utimensat(AT_FDCWD, path.c_str(), times, 0), 0) << path;
}

TEST_F(FileLockTest, AnotherProcessKeepsItForTooLong) {
    const auto store = open({});
    ChildProcess holder{"store_owner", {bucket().string(), "lock"}};
    ASSERT_EQ(holder.read_line(), "ready");
    const auto begun = std::chrono::steady_clock::now();
    const auto refused = loops_.run(store->put("v1/test/a", "1"));
    const auto took = std::chrono::steady_clock::now() - begun;
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code(), ErrorCode::unavailable);
    EXPECT_EQ(refused.error().detail(), "store.lock_timeout");
    EXPECT_TRUE(refused.error().retryable());
    EXPECT_NE(std::string{refused.error().what()}.find(bucket().string()), std::string::npos);
    EXPECT_GE(took, 1900ms);
    EXPECT_LT(took, 4s);
    EXPECT_EQ(sink_.counted("store_lock_timeouts_total"), 1U);
    holder.kill(SIGKILL);  // which frees the lock
    EXPECT_RUNS(loops_, store->put("v1/test/a", "1"));
}

Task<> all_refused(Store store) {
    EXPECT_EQ(co_await error_of(store->create("v1/test/a", "1")), "unavailable store.lock_timeout");
    EXPECT_EQ(co_await error_of(store->list("v1/test/")), "unavailable store.lock_timeout");
    EXPECT_EQ(co_await error_of(store->remove("v1/test/a")), "unavailable store.lock_timeout");
    EXPECT_EQ(co_await error_of(store->watch("v1/test/")), "unavailable store.lock_timeout");
    EXPECT_FALSE(co_await store->get("v1/test/a")) << "reading one key takes no lock";
}

TEST_F(FileLockTest, EveryChangeAndListingTakesIt) {
    const auto store = open({.lock_timeout = 20ms});
    const HeldLock held{bucket()};
    EXPECT_RUNS(loops_, all_refused(store));
}

Task<std::string> put_error(Store store, int number) {
    co_return co_await error_of(store->put("v1/test/" + std::to_string(number), "1"));
}

/// Those who queue up behind a caller that waits for the lock have the same bound, not the sum.
TEST_F(FileLockTest, TheBoundCountsForEveryCaller) {
    const auto store = open({.lock_timeout = 200ms});
    const HeldLock held{bucket()};
    std::vector<Task<std::string>> calls;
    for (int i = 0; i < 20; ++i) calls.push_back(put_error(store, i));
    const auto begun = std::chrono::steady_clock::now();
    const auto errors = loops_.run(when_all(std::move(calls)));
    EXPECT_LT(std::chrono::steady_clock::now() - begun, 2s);
    ASSERT_TRUE(errors);
    for (const auto& error : *errors) EXPECT_EQ(error, "unavailable store.lock_timeout");
}

Task<> wait_for_release(Store store, HeldLock* held) {
    TaskScope scope{co_await current_token()};
    scope.spawn([](Store into) -> Task<> { co_await into->put("v1/test/a", "1"); }(store));
    // Long enough to meet the lock: the store's answer to other calls shows that it runs.
    for (int i = 0; i < 50; ++i) EXPECT_FALSE(co_await store->get("v1/test/a"));
    held->release();
    co_await scope.join();
    EXPECT_TRUE(co_await store->get("v1/test/a"));
}

TEST_F(FileLockTest, WaitsUntilItIsFree) {
    const auto store = open({});
    HeldLock held{bucket()};
    EXPECT_RUNS(loops_, wait_for_release(store, &held));
}

Task<> refresh_while_locked(Store owner, fs::path file) {
    auto lease = co_await owner->grant_lease({});
    co_await owner->put("v1/test/a", "1", lease);
    const HeldLock held{file.parent_path()};
    age(file);
    co_await lease.refresh();
    EXPECT_EQ(lease.state(), LeaseState::alive);
    struct stat status{};
    ::stat(file.c_str(), &status);
    EXPECT_LT(::time(nullptr) - status.st_mtim.tv_sec, 30);
}

TEST_F(FileLockTest, RenewingTakesNoLock) {
    EXPECT_RUNS(loops_, refresh_while_locked(open({.lock_timeout = 20ms}), bucket() / "a"));
}

Task<> recover_after_lock(Store owner, fs::path file) {
    auto lease = co_await owner->grant_lease({});
    co_await owner->put("v1/test/a", "1", lease);
    {
        const HeldLock held{file.parent_path()};
        fs::remove(file);
        EXPECT_EQ(co_await lease.wait_for_change(LeaseState::alive), LeaseState::recovering);
        EXPECT_EQ(co_await error_of(lease.refresh()), "unavailable store.lock_timeout");
        EXPECT_EQ(lease.state(), LeaseState::recovering);
        EXPECT_FALSE(fs::exists(file));
    }
    EXPECT_EQ(co_await lease.wait_for_change(LeaseState::recovering), LeaseState::alive);
    EXPECT_TRUE(fs::exists(file));
    EXPECT_EQ(lease.recoveries(), 1U);
}

/// An owner that cannot publish again stays `recovering` and goes on trying.
TEST_F(FileLockTest, RecoversWhenTheLockIsFreeAgain) {
    const auto owner = open({.refresh_period = 20ms, .lock_timeout = 20ms});
    EXPECT_RUNS(loops_, recover_after_lock(owner, bucket() / "a"));
}

Task<> expired_while_locked(Store client, fs::path file) {
    auto seen = co_await client->watch("v1/test/");
    EXPECT_EQ(co_await next_description(&seen), "=1");
    {
        const HeldLock held{file.parent_path()};
        age(file);
        EXPECT_EQ(co_await next_description(&seen), "-v1/test/a");
        EXPECT_TRUE(fs::exists(file));
    }
    const auto deadline = Deadline::in(test::patience);
    while (fs::exists(file)) {
        require(!deadline.passed(), "the file is swept after all");
        co_await sleep_for(1ms);
    }
}

/// Watchers are told of an expiry even while nobody can remove the file.
TEST_F(FileLockTest, ExpiryDoesNotWaitForTheLock) {
    std::ofstream{bucket() / "a"} << "1";
    const auto client = open({.sweep_period = 10ms, .poll_period = 10ms, .lock_timeout = 20ms});
    EXPECT_RUNS(loops_, expired_while_locked(client, bucket() / "a"));
}

TEST_F(FileLockTest, ClosingRemovesOwnFilesAllTheSame) {
    const auto store = open({.lock_timeout = 50ms});
    EXPECT_RUNS(loops_, store->put("v1/test/a", "1"));
    const HeldLock held{bucket()};
    const auto begun = std::chrono::steady_clock::now();
    EXPECT_RUNS(loops_, store->close(Deadline::in(100ms)));
    EXPECT_LT(std::chrono::steady_clock::now() - begun, 5s);
    EXPECT_FALSE(fs::exists(bucket() / "a"));
}

TEST_F(FileLockTest, ALeaseEndsInTimeUnderTheLock) {
    const auto store = open({.lock_timeout = 50ms});
    const auto lease = loops_.run(store->grant_lease({}));
    ASSERT_TRUE(lease);
    EXPECT_RUNS(loops_, store->put("v1/test/a", "1", *lease));
    const HeldLock held{bucket()};
    EXPECT_RUNS(loops_, lease->revoke());
    EXPECT_FALSE(fs::exists(bucket() / "a"));
}

// --- owners in other processes

Task<> see_owner_leave(Store client, ChildProcess* owner) {
    auto seen = co_await client->watch("v1/test/");
    const auto first = co_await next_event(&seen);
    require(first.entries.size() == 1, "the other process's key is there");
    EXPECT_EQ(first.entries[0].value, "hello");
    owner->close_input();
    EXPECT_EQ(owner->wait(), 0);
    EXPECT_EQ(co_await next_description(&seen), "-v1/test/a");
}

TEST_F(FileLockTest, AnOwnerThatLeavesTakesItsFileAlong) {
    ChildProcess owner{"store_owner", {folder_.path().string(), "v1/test/a", "hello"}};
    ASSERT_EQ(owner.read_line(), "ready");
    EXPECT_RUNS(loops_, see_owner_leave(open({}), &owner));
    EXPECT_FALSE(fs::exists(bucket() / "a"));
}

Task<> see_owner_die(Store client, ChildProcess* owner, fs::path file) {
    auto seen = co_await client->watch("v1/test/");
    EXPECT_EQ(co_await next_description(&seen), "=1");
    owner->kill(SIGKILL);
    EXPECT_TRUE(fs::exists(file)) << "the record outlives its owner";
    EXPECT_EQ((co_await client->list("v1/test/")).size(), 1U);
    age(file);
    EXPECT_EQ(co_await next_description(&seen), "-v1/test/a");
    EXPECT_TRUE((co_await client->list("v1/test/")).empty());
    EXPECT_FALSE(fs::exists(file));
}

TEST_F(FileLockTest, AKilledOwnersFileRunsOut) {
    ChildProcess owner{"store_owner", {folder_.path().string(), "v1/test/a", "hello"}};
    ASSERT_EQ(owner.read_line(), "ready");
    EXPECT_RUNS(loops_, see_owner_die(open({.sweep_period = 10ms}), &owner, bucket() / "a"));
}

Task<> see_owner_return(Store client, ChildProcess* owner, fs::path file) {
    auto seen = co_await client->watch("v1/test/");
    EXPECT_EQ(co_await next_description(&seen), "=1");
    owner->pause();
    age(file);  // as if it had been stopped for a minute
    EXPECT_EQ(co_await next_description(&seen), "-v1/test/a");
    co_await client->list("v1/test/");
    EXPECT_FALSE(fs::exists(file));
    owner->resume();
    const auto event = co_await next_event(&seen);
    EXPECT_EQ(test::describe(event), "+v1/test/a");
    EXPECT_EQ(event.entry.value, "hello");
}

TEST_F(FileLockTest, APausedOwnersFileComesBack) {
    ChildProcess owner{"store_owner", {folder_.path().string(), "v1/test/a", "hello"}};
    ASSERT_EQ(owner.read_line(), "ready");
    EXPECT_RUNS(loops_, see_owner_return(open({.sweep_period = 10ms}), &owner, bucket() / "a"));
}

}  // namespace
}  // namespace stator::store
