// The file store on real folders: the layout, expiry, loss and return of files.
#include "stator/store/file_store.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <map>

#include <gtest/gtest.h>

#include "tests/store/store_fixture.hpp"

namespace stator::store {
namespace {

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

class FileStoreTest : public testing::Test {
protected:
    void TearDown() override {
        for (const auto& store : stores_) EXPECT_RUNS(loops_, store->close(Deadline::in(5s)));
    }
    Store open(FileStore::Options options) {
        options.root = root();
        auto opened = loops_.run(open_store(&loops_.secondary(), std::move(options)));
        if (!opened) {
            ADD_FAILURE() << opened.error().what();
            return nullptr;
        }
        stores_.push_back(*opened);
        return *opened;
    }
    /// Looks for expired files every few milliseconds, and polls as often.
    static FileStore::Options quick() {
        return {.sweep_period = 10ms, .poll_period = 10ms, .lock_timeout = 100ms};
    }
    fs::path root() const { return folder_.path() / "kv"; }
    fs::path bucket() const { return root() / "v1" / "test"; }

    test::RecordingSink sink_;
    test::TemporaryFolder folder_;
    test::Loops loops_;
    std::vector<Store> stores_;
};

std::string read(const fs::path& path) {
    std::ifstream file{path, std::ios::binary};
    return {std::istreambuf_iterator<char>{file}, {}};
}

struct stat status_of(const fs::path& path) {
    struct stat status{};
    EXPECT_EQ(::lstat(path.c_str(), &status), 0) << path;
    return status;
}

std::vector<std::string> names_in(const fs::path& folder) {
    std::vector<std::string> names;
    for (const auto& item : fs::directory_iterator{folder}) names.push_back(item.path().filename());
    std::ranges::sort(names);
    return names;
}

/// Sets the file's time, `by` from now.
void set_time(const fs::path& path, std::chrono::seconds by) {
    timespec now{};
    ::clock_gettime(CLOCK_REALTIME, &now);
    now.tv_sec += by.count();
    const timespec times[2] = {now, now};
    EXPECT_EQ(::utimensat(AT_FDCWD, path.c_str(), times, AT_SYMLINK_NOFOLLOW), 0) << path;
}

/// As another implementation publishes: a complete file, linked to its name.
void publish(const fs::path& path, const std::string& text) {
    fs::create_directories(path.parent_path());
    const auto temporary = path.parent_path() / ".tmp_00000000deadbeef";
    std::ofstream{temporary, std::ios::binary} << text;
    fs::create_hard_link(temporary, path);
    fs::remove(temporary);
}

/// Waits until `holds()` does, looking now and then.
template <class Holds>
Task<> eventually(Holds holds, std::string what) {
    const auto deadline = Deadline::in(test::patience);
    while (!holds()) {
        require(!deadline.passed(), "this never came true: " + what);
        co_await sleep_for(1ms);
    }
}

// --- layout

TEST_F(FileStoreTest, WritesWhatTheOriginalWrites) {
    const auto umask_before = ::umask(077);
    const auto store = open({});
    const std::string key = "v1/instances/my-ns/my_comp/gen_er-ate/92e42ca7e33730ff";
    EXPECT_RUNS(loops_, store->put(key, "{\"type\":\"Endpoint\"}"));
    ::umask(umask_before);
    const std::string name = "my%2Dns%2Fmy%5Fcomp%2Fgen%5Fer%2Date%2F92e42ca7e33730ff";
    const auto bucket = root() / "v1" / "instances";
    EXPECT_EQ(names_in(bucket), std::vector<std::string>{name});
    EXPECT_EQ(read(bucket / name), "{\"type\":\"Endpoint\"}");
    const auto status = status_of(bucket / name);
    EXPECT_EQ(status.st_mode & 07777U, 0644U);
    EXPECT_EQ(status.st_nlink, 1U);
    EXPECT_EQ(names_in(root()), std::vector<std::string>{"v1"});
}

TEST_F(FileStoreTest, ClosingLeavesOnlyFolders) {
    const auto store = open({});
    EXPECT_RUNS(loops_, store->put("v1/test/a", "1"));
    EXPECT_RUNS(loops_, store->close(Deadline::in(5s)));
    EXPECT_EQ(names_in(bucket()), std::vector<std::string>{});
}

TEST_F(FileStoreTest, ReplacesByRename) {
    const auto store = open({});
    EXPECT_RUNS(loops_, store->put("v1/test/a", "1"));
    const auto before = status_of(bucket() / "a");
    EXPECT_RUNS(loops_, store->put("v1/test/a", "2"));
    EXPECT_NE(status_of(bucket() / "a").st_ino, before.st_ino);
    EXPECT_EQ(read(bucket() / "a"), "2");
    EXPECT_EQ(names_in(bucket()).size(), 1U);
}

TEST_F(FileStoreTest, RefusesKeysThatMakeNoFileName) {
    const auto store = open({});
    const auto fits = "v1/test/" + std::string(255, 'a');
    EXPECT_RUNS(loops_, store->put(fits, "1"));
    const auto refused = loops_.run(store->put(fits + "a", "1"));
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().detail(), "store.key");
    const auto encoded = loops_.run(store->put("v1/test/" + std::string(86, '-'), "1"));
    ASSERT_FALSE(encoded);
    EXPECT_EQ(encoded.error().detail(), "store.key");
}

// --- opening

TEST_F(FileStoreTest, AFileWhereTheFolderShouldBeIsANamedError) {
    std::ofstream{root()} << "in the way";
    const auto opened = loops_.run(open_store(&loops_.secondary(), {.root = root()}));
    ASSERT_FALSE(opened);
    EXPECT_EQ(opened.error().code(), ErrorCode::invalid_request) << opened.error().what();
    EXPECT_EQ(opened.error().detail(), "store.folder");
    EXPECT_NE(std::string{opened.error().what()}.find(root().string()), std::string::npos);
    const auto below = loops_.run(open_store(&loops_.secondary(), {.root = root() / "below"}));
    ASSERT_FALSE(below);
    EXPECT_EQ(below.error().code(), ErrorCode::invalid_request);
}

TEST_F(FileStoreTest, AFolderThatCannotBeWrittenIsANamedError) {
    // Not even the superuser makes folders there.
    const auto opened = loops_.run(open_store(&loops_.secondary(), {.root = "/sys/stator"}));
    ASSERT_FALSE(opened);
    EXPECT_EQ(opened.error().code(), ErrorCode::permission_denied) << opened.error().what();
    EXPECT_EQ(opened.error().detail(), "store.folder");
}

TEST_F(FileStoreTest, ABucketThatCannotBeMadeIsANamedError) {
    const auto store = open({});
    std::ofstream{root() / "v1"} << "in the way";
    const auto written = loops_.run(store->put("v1/test/a", "1"));
    ASSERT_FALSE(written);
    EXPECT_EQ(written.error().detail(), "store.folder");
    const auto watched = loops_.run(store->watch("v1/test/"));
    ASSERT_FALSE(watched);
    EXPECT_EQ(watched.error().detail(), "store.folder");
}

TEST_F(FileStoreTest, RefusesBadOptionsByName) {
    const auto nameless = loops_.run(open_store(&loops_.secondary(), {}));
    ASSERT_FALSE(nameless);
    EXPECT_EQ(nameless.error().detail(), "store.folder");
    const auto hasty = loops_.run(open_store(&loops_.secondary(), {.root = root(), .ttl = 999ms}));
    ASSERT_FALSE(hasty);
    EXPECT_EQ(hasty.error().detail(), "store.ttl");
    const auto store = open({});
    const auto lease = loops_.run(store->grant_lease({.bound_to = {}, .ttl = 30s}));
    ASSERT_FALSE(lease);
    EXPECT_EQ(lease.error().detail(), "store.ttl");
    EXPECT_TRUE(loops_.run(store->grant_lease({.bound_to = {}, .ttl = 10s})));
}

// --- keep-alive

TEST_F(FileStoreTest, RenewsAThirdOfTheTtl) {
    const auto store = open({});
    const auto lease = loops_.run(store->grant_lease({}));
    ASSERT_TRUE(lease);
    EXPECT_EQ(lease->ttl(), 10s);
    const auto next = lease->next_renewal().remaining();
    EXPECT_LE(next, Duration{10s} / 3);
    EXPECT_GT(next, 2s);
    EXPECT_GT(lease->slack(), 8s);
}

Task<> touch_by_call(Store store, fs::path file) {
    auto lease = co_await store->grant_lease({});
    co_await store->put("v1/test/a", "1", lease);
    const auto before = status_of(file);
    set_time(file, -5s);
    co_await lease.refresh();
    const auto after = status_of(file);
    EXPECT_GE(after.st_mtim.tv_sec, before.st_mtim.tv_sec);
    EXPECT_EQ(after.st_ino, before.st_ino);
    EXPECT_EQ(read(file), "1");
    EXPECT_EQ(lease.recoveries(), 0U);
}

TEST_F(FileStoreTest, RenewingTouchesTheSameFile) {
    EXPECT_RUNS(loops_, touch_by_call(open({}), bucket() / "a"));
}

TEST_F(FileStoreTest, RenewsByItself) {
    const auto store = open({.refresh_period = 5ms});
    EXPECT_RUNS(loops_, store->put("v1/test/a", "1"));
    const auto file = bucket() / "a";
    for (int i = 0; i < 3; ++i) {
        set_time(file, -5s);
        const auto old = status_of(file).st_mtim.tv_sec;
        EXPECT_RUNS(
            loops_, eventually([&] { return status_of(file).st_mtim.tv_sec > old + 2; }, "a touch")
        );
    }
}

/// A primary loop that is never idle does not keep the store from renewing.
TEST_F(FileStoreTest, RenewsWhileThePrimaryLoopIsBusy) {
    const auto store = open({.refresh_period = 5ms});
    EXPECT_RUNS(loops_, store->put("v1/test/a", "1"));
    const auto file = bucket() / "a";
    set_time(file, -5s);
    const auto old = status_of(file).st_mtim.tv_sec;
    const test::BlockedLoop busy{loops_.primary()};
    const auto renewed = test::Loops::run_on(
        loops_.secondary(),
        eventually([&] { return status_of(file).st_mtim.tv_sec > old + 2; }, "a touch")
    );
    EXPECT_TRUE(renewed) << renewed.error().what();
}

// --- expiry

Task<> swept(Store client, fs::path bucket) {
    publish(bucket / "dead", "1");
    publish(bucket / "alive", "1");
    auto seen = co_await client->watch("v1/test/");
    EXPECT_EQ(co_await next_description(&seen), "=2");
    set_time(bucket / "dead", -60s);  // no event tells about this
    EXPECT_EQ(co_await next_description(&seen), "-v1/test/dead");
    co_await eventually([&] { return names_in(bucket).size() == 1; }, "the file is removed");
    EXPECT_EQ(names_in(bucket), std::vector<std::string>{"alive"});
}

TEST_F(FileStoreTest, AMereClientSweepsAndTells) {
    EXPECT_RUNS(loops_, swept(open(quick()), bucket()));
    EXPECT_EQ(sink_.counted("store_swept_total"), 1U);
}

TEST_F(FileStoreTest, APollingClientSweepsAndTells) {
    auto options = quick();
    options.inotify = false;
    const auto client = open(options);
    EXPECT_RUNS(loops_, swept(client, bucket()));
}

/// The time of the next expiry is known, so nobody waits for the next regular sweep.
Task<> expires_on_time(Store client, fs::path file) {
    auto seen = co_await client->watch("v1/test/");
    (void)co_await next_event(&seen);
    const auto begun = std::chrono::steady_clock::now();
    publish(file, "1");
    EXPECT_EQ(co_await next_description(&seen), "+v1/test/a");
    // Nothing but this makes the store look at the file again.
    (void)co_await client->list("v1/test/");
    EXPECT_EQ(co_await next_description(&seen), "-v1/test/a");
    const auto took = std::chrono::steady_clock::now() - begun;
    EXPECT_GE(took, 900ms);
    EXPECT_LT(took, 5s);
}

TEST_F(FileStoreTest, ExpiryIsNoticedWhenItIsDue) {
    EXPECT_RUNS(loops_, expires_on_time(open({.ttl = 1s, .sweep_period = 1h}), bucket() / "a"));
}

Task<> list_sweeps(Store store, fs::path bucket) {
    publish(bucket / "dead", "1");
    publish(bucket / "alive", "1");
    set_time(bucket / "dead", -11s);
    EXPECT_FALSE(co_await store->get("v1/test/dead"));
    const auto listed = co_await store->list("v1/test/");
    require(listed.size() == 1, "one is listed");
    EXPECT_EQ(listed[0].key, "v1/test/alive");
    EXPECT_EQ(names_in(bucket), std::vector<std::string>{"alive"});
}

TEST_F(FileStoreTest, ListingSweeps) { EXPECT_RUNS(loops_, list_sweeps(open({}), bucket())); }

Task<> create_over_expired(Store store, fs::path bucket) {
    publish(bucket / "a", "old");
    EXPECT_FALSE(co_await store->create("v1/test/a", "new"));
    set_time(bucket / "a", -11s);
    EXPECT_TRUE(co_await store->create("v1/test/a", "new"));
    EXPECT_EQ(read(bucket / "a"), "new");
}

TEST_F(FileStoreTest, CreatesInPlaceOfWhatHasExpired) {
    EXPECT_RUNS(loops_, create_over_expired(open({}), bucket()));
}

Task<> abandoned_temporaries(Store store, fs::path bucket) {
    co_await store->put("v1/test/a", "1");
    const auto old_one = bucket / ".tmp_0123456789abcdef";
    const auto fresh = bucket / ".tmp_fedcba9876543210";
    std::ofstream{fresh} << "half";
    std::ofstream{old_one} << "half";
    set_time(old_one, -60s);
    co_await eventually([&] { return !fs::exists(old_one); }, "the old one is removed");
    EXPECT_TRUE(fs::exists(fresh));
    EXPECT_EQ((co_await store->list("v1/test/")).size(), 1U);
}

TEST_F(FileStoreTest, SweepsAbandonedTemporaryFiles) {
    EXPECT_RUNS(loops_, abandoned_temporaries(open(quick()), bucket()));
}

/// Late is not dead: nobody sweeps his own files.
Task<> late_owner(Store owner, fs::path file) {
    co_await owner->put("v1/test/a", "1");
    const auto before = status_of(file).st_ino;
    set_time(file, -60s);
    EXPECT_EQ((co_await owner->list("v1/test/")).size(), 1U);
    EXPECT_EQ(status_of(file).st_ino, before);
}

TEST_F(FileStoreTest, DoesNotSweepItsOwn) {
    EXPECT_RUNS(loops_, late_owner(open({.refresh_period = 1h}), bucket() / "a"));
}

/// A clock that was set back: files from the future are alive while they are touched, and dead a
/// TTL after the last change, by our own clock.
Task<> from_the_future(Store client, fs::path bucket) {
    publish(bucket / "touched", "1");
    publish(bucket / "dead", "1");
    auto seen = co_await client->watch("v1/test/");
    EXPECT_EQ(co_await next_description(&seen), "=2");
    set_time(bucket / "dead", 3600s);
    auto next = seen.next();
    auto offset = 3600s;
    const auto event =
        co_await when_any(std::move(next), [](fs::path file, std::chrono::seconds* from) -> Task<> {
            for (;;) {
                set_time(file, (*from)++);
                co_await sleep_for(50ms);
            }
        }(bucket / "touched", &offset));
    require(event.index() == 0, "an event came");
    EXPECT_EQ(test::describe(*std::get<0>(event)), "-v1/test/dead");
    EXPECT_TRUE(fs::exists(bucket / "touched"));
}

TEST_F(FileStoreTest, FilesFromTheFutureExpire) {
    auto options = quick();
    options.ttl = 1s;
    EXPECT_RUNS(loops_, from_the_future(open(options), bucket()));
}

// --- loss and return

Task<> swept_by_others(Store owner, Store client, fs::path file) {
    auto lease = co_await owner->grant_lease({});
    co_await owner->put("v1/test/a", "mine", lease);
    auto seen = co_await client->watch("v1/test/");
    EXPECT_EQ(co_await next_description(&seen), "=1");
    for (std::uint64_t round = 1; round <= 3; ++round) {
        fs::remove(file);
        EXPECT_EQ(co_await next_description(&seen), "-v1/test/a");
        const auto back = co_await next_event(&seen);
        EXPECT_EQ(test::describe(back), "+v1/test/a");
        EXPECT_EQ(back.entry.value, "mine");
        co_await eventually(
            [&] { return lease.state() == LeaseState::alive && lease.recoveries() == round; },
            "the lease is alive again"
        );
    }
}

TEST_F(FileStoreTest, AnOwnerPublishesAgainWhatOthersSwept) {
    EXPECT_RUNS(loops_, swept_by_others(open({}), open({}), bucket() / "a"));
    EXPECT_EQ(sink_.counted("store_recovered_keys_total"), 3U);
    EXPECT_EQ(sink_.warnings("publishing again"), 3U);
}

Task<> swept_while_polling(Store owner, fs::path file) {
    co_await owner->put("v1/test/a", "mine");
    fs::remove(file);
    co_await eventually([&] { return fs::exists(file); }, "it is there again");
    EXPECT_EQ(read(file), "mine");
}

TEST_F(FileStoreTest, APollingOwnerPublishesAgain) {
    auto options = quick();
    options.inotify = false;
    EXPECT_RUNS(loops_, swept_while_polling(open(options), bucket() / "a"));
}

/// Reads events until "b" is there beside "a", be it by deltas or by a snapshot.
Task<> see_both(Watch* watch) {
    std::map<std::string, std::string> view{{"v1/test/a", "before"}};
    while (!view.contains("v1/test/b") || !view.contains("v1/test/a")) {
        const auto event = co_await next_event(watch);
        if (event.kind == WatchEvent::Kind::snapshot) view.clear();
        for (const auto& entry : event.entries) view[entry.key] = entry.value;
        if (event.kind == WatchEvent::Kind::put) view[event.entry.key] = event.entry.value;
        if (event.kind == WatchEvent::Kind::removed) view.erase(event.entry.key);
    }
}

/// `lose` takes the folder away while nobody can do anything about it.
template <class Lose>
Task<> lose_folder(Store owner, Store client, fs::path file, Lose lose) {
    auto lease = co_await owner->grant_lease({});
    co_await owner->put("v1/test/a", "mine", lease);
    auto seen = co_await client->watch("v1/test/");
    EXPECT_EQ(co_await next_description(&seen), "=1");
    {
        const test::BlockedLoop blocked{owner->loop()};
        lose();
    }
    co_await eventually([&] { return fs::exists(file); }, "the file in a new folder");
    EXPECT_EQ(read(file), "mine");
    co_await client->put("v1/test/b", "1");
    co_await see_both(&seen);
    co_await eventually([&] { return lease.state() == LeaseState::alive; }, "the lease is alive");
    EXPECT_GE(lease.recoveries(), 1U);
    // The new folder is the one that is watched now.
    co_await client->put("v1/test/c", "1");
    std::string last;
    while (last != "+v1/test/c" && last != "=3") last = co_await next_description(&seen);
}

TEST_F(FileStoreTest, SurvivesTheRemovalOfItsFolder) {
    EXPECT_RUNS(loops_, lose_folder(open(quick()), open(quick()), bucket() / "a", [this] {
                    fs::remove_all(root());
                }));
}

/// No event in the bucket tells about this.
TEST_F(FileStoreTest, SurvivesItsRootBeingMovedAway) {
    EXPECT_RUNS(loops_, lose_folder(open(quick()), open(quick()), bucket() / "a", [this] {
                    fs::rename(root(), folder_.path() / "away");
                }));
}

// --- files of others

/// Returns once the store has looked at all that was done so far: its scan comes first, and events
/// keep their order.
Task<> settled(Watch* seen, fs::path marker) {
    publish(marker, "1");
    EXPECT_EQ(co_await next_description(seen), "+v1/test/marker");
    fs::remove(marker);
    EXPECT_EQ(co_await next_description(seen), "-v1/test/marker");
}

Task<> same_inode_again(Store client, fs::path file) {
    publish(file, "first");
    auto seen = co_await client->watch("v1/test/");
    EXPECT_EQ(co_await next_description(&seen), "=1");
    const auto marker = file.parent_path() / "marker";
    co_await settled(&seen, marker);
    for (const std::string value : {"second", "second", "third"}) {
        fs::remove(file);  // most file systems give the next file the same inode number
        publish(file, value);
        EXPECT_EQ(co_await next_description(&seen), "-v1/test/a");
        const auto event = co_await next_event(&seen);
        EXPECT_EQ(test::describe(event), "+v1/test/a");
        EXPECT_EQ(event.entry.value, value);
        co_await settled(&seen, marker);
    }
}

TEST_F(FileStoreTest, ReplacedFilesAreRemovedAndAdded) {
    EXPECT_RUNS(loops_, same_inode_again(open({}), bucket() / "a"));
}

Task<> written_in_place(Store client, fs::path file) {
    auto seen = co_await client->watch("v1/test/");
    EXPECT_EQ(co_await next_description(&seen), "=0");
    {
        std::ofstream slow{file};
        slow.flush();
        // An empty file is not a record yet.
        EXPECT_TRUE((co_await client->list("v1/test/")).empty());
        slow << "complete";
    }
    const auto event = co_await next_event(&seen);
    EXPECT_EQ(test::describe(event), "+v1/test/a");
    EXPECT_EQ(event.entry.value, "complete");
    std::ofstream{file} << "changed!";
    EXPECT_EQ((co_await next_event(&seen)).entry.value, "changed!");
}

TEST_F(FileStoreTest, ReadsWhatIsWrittenInPlace) {
    EXPECT_RUNS(loops_, written_in_place(open({}), bucket() / "a"));
}

void make_unusable_files(const fs::path& bucket) {
    fs::create_directories(bucket / "folder");
    fs::create_symlink("/etc/passwd", bucket / "link");
    ::mkfifo((bucket / "pipe").c_str(), 0644);
    std::ofstream{bucket / "not-encoded"} << "1";
    std::ofstream{bucket / "%zz"} << "1";
    std::ofstream{bucket / "huge"} << std::string((1U << 20U) + 1, 'x');
}

Task<> unusable_files(Store store, fs::path bucket) {
    make_unusable_files(bucket);
    publish(bucket / "good", "1");
    auto seen = co_await store->watch("v1/test/");
    EXPECT_EQ(co_await next_description(&seen), "=1");
    for (int i = 0; i < 3; ++i) EXPECT_EQ((co_await store->list("v1/test/")).size(), 1U);
    publish(bucket / "more", "1");
    EXPECT_EQ(co_await next_description(&seen), "+v1/test/more");
}

TEST_F(FileStoreTest, SkipsWhatIsNoRecordAndSaysSoOnce) {
    EXPECT_RUNS(loops_, unusable_files(open({}), bucket()));
    for (const auto* name : {"folder", "link", "pipe", "not-encoded", "%zz", "huge"})
        EXPECT_EQ(sink_.warnings("skipping \"" + std::string{name} + "\""), 1U) << name;
    EXPECT_EQ(sink_.counted("store_files_skipped_total"), 6U);
}

Task<> reported_again(Store store, fs::path bucket) {
    publish(bucket / "keep", "1");
    std::ofstream{bucket / "a-b"} << "1";
    (void)co_await store->list("v1/test/");
    publish(bucket / "other", "1");  // takes the inode's place, should the number be reused
    fs::rename(bucket / "other", bucket / "a-b");
    (void)co_await store->list("v1/test/");
    (void)co_await store->list("v1/test/");
}

TEST_F(FileStoreTest, AnotherFileOfTheNameIsReportedAgain) {
    EXPECT_RUNS(loops_, reported_again(open({}), bucket()));
    EXPECT_EQ(sink_.warnings("skipping \"a-b\""), 2U);
}

/// Readers see whole values only.
Task<> whole_values(Store writer, Store reader) {
    auto seen = co_await reader->watch("v1/test/");
    (void)co_await next_event(&seen);
    for (int i = 0; i < 40; ++i) {
        const auto size = i % 2 == 0 ? 300'000U : 10U;
        co_await writer->put("v1/test/a", std::string(size, static_cast<char>('a' + i % 26)));
        const auto event = co_await next_event(&seen);
        EXPECT_TRUE(event.entry.value.size() == 300'000U || event.entry.value.size() == 10U);
        EXPECT_EQ(event.entry.value.find_first_not_of(event.entry.value[0]), std::string::npos);
    }
}

TEST_F(FileStoreTest, ReadersSeeWholeValues) {
    EXPECT_RUNS(loops_, whole_values(open({}), open({})));
}

// --- events that were lost

TEST_F(FileStoreTest, AnOverflowOfEventsEndsInASnapshot) {
    const auto client = open({.sweep_period = 1h});
    Watch seen;
    EXPECT_RUNS(loops_, [](Store store, Watch* into) -> Task<> {
        *into = co_await store->watch("v1/test/");
        EXPECT_EQ(co_await next_description(into), "=0");
    }(client, &seen));
    // The store does not read events while more of them come than the kernel keeps.
    int limit = 0;
    std::ifstream{"/proc/sys/fs/inotify/max_queued_events"} >> limit;
    ASSERT_GT(limit, 0);
    {
        const test::BlockedLoop blocked{loops_.secondary()};
        for (int i = 0; i < limit; ++i) {
            const auto name = bucket() / (i % 2 == 0 ? ".tmp_a" : ".tmp_b");
            ::close(::open(name.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
            ::unlink(name.c_str());
        }
        publish(bucket() / "late", "1");
    }
    EXPECT_RUNS(loops_, [](Watch* watch) -> Task<> {
        std::string last;
        // The snapshot may find the file, or its scan may tell about it just before.
        while (last != "=1") last = co_await next_description(watch);
    }(&seen));
    EXPECT_EQ(sink_.counted("store_overflows_total"), 1U);
}

// --- scale

Task<> many(Store owner, Store client) {
    constexpr int count = 400;
    for (int i = 0; i < count; ++i) co_await owner->put("v1/test/" + std::to_string(i), "1");
    auto seen = co_await client->watch("v1/test/");
    EXPECT_EQ(co_await next_description(&seen), "=" + std::to_string(count));
    EXPECT_EQ((co_await client->list("v1/test/")).size(), static_cast<std::size_t>(count));
    co_await owner->close(Deadline::in(10s));
    auto left = count;
    while (left > 0) {
        const auto event = co_await next_event(&seen);
        if (event.kind == WatchEvent::Kind::snapshot) left = static_cast<int>(event.entries.size());
        if (event.kind == WatchEvent::Kind::removed) --left;
    }
}

TEST_F(FileStoreTest, ManyKeys) { EXPECT_RUNS(loops_, many(open({}), open({}))); }

}  // namespace
}  // namespace stator::store
