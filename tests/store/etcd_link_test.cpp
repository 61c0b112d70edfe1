// The parts of the etcd store that need no server: which member is asked, when again, and what of a
// watch is told.
#include <atomic>
#include <map>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "stator/testing/seeded_scheduler.hpp"
#include "store/etcd/identity.hpp"
#include "store/etcd/link.hpp"
#include "store/etcd/options.hpp"
#include "store/etcd/status.hpp"
#include "store/etcd/watches.hpp"
#include "tests/store/fake_wire.hpp"
#include "tests/store/store_fixture.hpp"

namespace stator::store::etcd {
namespace {

using test::AnyReply;
using test::AnyRequest;
using test::describe;
using test::error_of;
using test::FakeCluster;
using test::Loops;
using test::next_description;
using test::require;
using namespace std::chrono_literals;
using LinkPtr = std::shared_ptr<Link>;

const Status refused{14, "failed to connect to all addresses"};
const Status cut_off{14, "Socket closed"};
const Status stale_token{16, "etcdserver: invalid auth token"};

LinkPtr make_link(FakeCluster& cluster, EtcdOptions options = {}) {
    options.endpoints = {"http://one:1", "http://two:2"};
    if (options.call_timeout > 2s) options.call_timeout = 2s;
    return std::make_shared<Link>(std::move(options), cluster.dial());
}

EtcdTransaction write(bool repeatable) {
    EtcdTransaction made;
    made.then = {EtcdOperation::put("k", "v")};
    made.repeatable = repeatable;
    return made;
}

Task<EtcdTransactionReply> do_call(LinkPtr link, EtcdTransaction request) {
    co_return co_await link->call(std::move(request));
}

TEST(EtcdStatus, HasANameForWhatEtcdSays) {
    const auto shown = [](int code, std::string message) {
        const auto failure = failure_of({code, std::move(message)});
        return fmt::format(
            "{} {} {}",
            static_cast<int>(failure.kind),
            to_string(failure.error.code()),
            failure.error.detail()
        );
    };
    EXPECT_EQ(shown(14, "failed to connect to all addresses"), "2 unavailable store.unreachable");
    EXPECT_EQ(shown(14, "...: Ssl handshake failed: ..."), "2 unavailable store.tls");
    EXPECT_EQ(shown(14, "etcdserver: no leader"), "2 unavailable store.no_leader");
    EXPECT_EQ(shown(14, "etcdserver: request timed out"), "3 unavailable store.unreachable");
    EXPECT_EQ(shown(4, "Deadline Exceeded"), "3 unavailable store.unreachable");
    EXPECT_EQ(shown(13, "RST_STREAM"), "3 unavailable store.unreachable");
    EXPECT_EQ(shown(16, ""), "4 unauthenticated store.authentication");
    EXPECT_EQ(
        shown(3, "etcdserver: authentication failed, invalid user ID or password"),
        "1 unauthenticated store.authentication"
    );
    EXPECT_EQ(shown(3, "etcdserver: request is too large"), "1 payload_too_large store.too_large");
    EXPECT_EQ(shown(3, "etcdserver: duplicate key given"), "1 invalid_request store.request");
    EXPECT_EQ(
        shown(5, "etcdserver: requested lease not found"), "1 not_found store.lease_not_found"
    );
    EXPECT_EQ(shown(7, "etcdserver: permission denied"), "1 permission_denied store.permission");
    EXPECT_EQ(shown(8, "etcdserver: mvcc: database space exceeded"), "1 overloaded store.no_space");
    EXPECT_EQ(
        shown(11, "etcdserver: mvcc: required revision has been compacted"),
        "1 unavailable store.compacted"
    );
}

TEST(EtcdOptions, EndpointsAreUrls) {
    const auto shown = [](std::string_view text) {
        const auto endpoint = parse_endpoint(text);
        if (!endpoint) return endpoint.error().detail();
        return endpoint->address.to_string() + (endpoint->tls ? " tls" : "");
    };
    EXPECT_EQ(shown("http://a:1"), "a:1");
    EXPECT_EQ(shown("https://a:1/"), "a:1 tls");
    EXPECT_EQ(shown("http://a"), "a:2379");
    EXPECT_EQ(shown("http://[::1]:5"), "[::1]:5");
    EXPECT_EQ(shown("http://[::1]"), "[::1]:2379");
    for (const auto* wrong : {"a:1", "http://", "http://a:x", "http://a:1/v3", "http://u@a:1"})
        EXPECT_EQ(shown(wrong), "store.options") << wrong;
    EXPECT_EQ(end_of_prefix("a/"), "a0");
    EXPECT_EQ(end_of_prefix("a\xff"), "b");
    EXPECT_EQ(end_of_prefix("\xff"), std::string(1, '\0'));
}

TEST(EtcdLink, GoesOnToTheNextMemberAndStaysThere) {
    FakeCluster cluster{[](const std::string& member, const AnyRequest&, const std::string&) {
        return std::optional<AnyReply>{
            member == "one:1" ? AnyReply{refused} : AnyReply{EtcdTransactionReply{}}
        };
    }};
    Loops loops;
    const auto link = make_link(cluster);
    for (int i = 0; i < 3; ++i) {
        const auto reply = loops.run(do_call(link, write(false)));
        ASSERT_TRUE(reply) << reply.error().what();
        EXPECT_FALSE(reply->repeated);
    }
    EXPECT_EQ(cluster.asked("one:1"), 1U);
    EXPECT_EQ(cluster.asked("two:2"), 3U);
}

TEST(EtcdLink, RepeatsOnlyWhatMayBeRepeated) {
    FakeCluster cluster{[](const std::string& member, const AnyRequest&, const std::string&) {
        return std::optional<AnyReply>{
            member == "one:1" ? AnyReply{cut_off} : AnyReply{EtcdTransactionReply{}}
        };
    }};
    Loops loops;
    EXPECT_EQ(
        loops.run(error_of(do_call(make_link(cluster), write(false)))).value_or(""),
        "unavailable store.outcome_unknown"
    );
    const auto reply = loops.run(do_call(make_link(cluster), write(true)));
    ASSERT_TRUE(reply) << reply.error().what();
    EXPECT_TRUE(reply->repeated);
}

TEST(EtcdLink, SaysOnceThatNobodyAnswersAndOnceThatSomebodyDoes) {
    test::RecordingSink sink;
    std::atomic<bool> up{false};
    FakeCluster cluster{[&](const std::string&, const AnyRequest&, const std::string&) {
        return std::optional<AnyReply>{up ? AnyReply{EtcdTransactionReply{}} : AnyReply{refused}};
    }};
    Loops loops;
    const auto link = make_link(cluster, {.call_timeout = 400ms});
    const auto outcome = loops.run(do_call(link, write(true)));
    ASSERT_FALSE(outcome);
    EXPECT_EQ(outcome.error().detail(), "store.unreachable");
    for (const auto* part : {"http://one:1", "http://two:2", "failed to connect"})
        EXPECT_TRUE(outcome.error().message().contains(part)) << outcome.error().what();
    EXPECT_FALSE(loops.run(do_call(link, write(true))));
    EXPECT_EQ(sink.warnings("no member of etcd answers"), 1U);
    EXPECT_GE(cluster.asked("one:1"), 4U);
    up = true;
    EXPECT_TRUE(loops.run(do_call(link, write(true))));
}

TEST(EtcdLink, AsksForATokenOnceAndAgainWhenItIsStale) {
    std::atomic<int> given{0};
    std::atomic<bool> stale{false};
    FakeCluster cluster{[&](const std::string&, const AnyRequest& request, const std::string& token
                        ) {
        if (const auto* const who = std::get_if<AuthenticateRequest>(&request)) {
            if (who->password != "right")
                return std::optional<AnyReply>{Status{3, "etcdserver: authentication failed"}};
            return std::optional<AnyReply>{AuthenticateReply{.token = "t" + std::to_string(++given)}
            };
        }
        if (token.empty() || (stale && token == "t1")) return std::optional<AnyReply>{stale_token};
        return std::optional<AnyReply>{EtcdTransactionReply{}};
    }};
    Loops loops;
    EtcdOptions options;
    options.username = "me";
    options.password = "right";
    const auto link = make_link(cluster, options);
    EXPECT_TRUE(loops.run(do_call(link, write(false))));
    EXPECT_TRUE(loops.run(do_call(link, write(false))));
    EXPECT_EQ(given, 1);
    stale = true;
    EXPECT_TRUE(loops.run(do_call(link, write(false))));
    EXPECT_EQ(given, 2);
    options.password = "wrong";
    EXPECT_EQ(
        loops.run(error_of(do_call(make_link(cluster, options), write(false)))).value_or(""),
        "unauthenticated store.authentication"
    );
    // Nobody in particular, where that is not enough.
    EXPECT_EQ(
        loops.run(error_of(do_call(make_link(cluster), write(false)))).value_or(""),
        "unauthenticated store.authentication"
    );
}

Task<> give_up(LinkPtr link) {
    EXPECT_EQ(
        co_await error_of(with_deadline(Deadline::in(20ms), link->call(write(true)))),
        "deadline_exceeded "
    );
}

TEST(EtcdLink, ACallThatIsGivenUpIsCancelled) {
    FakeCluster cluster{[](const std::string&, const AnyRequest&, const std::string&) {
        std::this_thread::sleep_for(60ms);  // its answer finds nobody
        return std::optional<AnyReply>{EtcdTransactionReply{}};
    }};
    Loops loops;
    EXPECT_RUNS(loops, give_up(make_link(cluster)));
    EXPECT_EQ(cluster.cancelled(), 1U);
}

/// The first member is silent.
FakeCluster::Answerer first_hangs() {
    return [](const std::string& member, const AnyRequest&, const std::string&) {
        return member == "one:1" ? std::nullopt : std::optional<AnyReply>{EtcdTransactionReply{}};
    };
}

Task<> give_up_after(LinkPtr link, Duration patience) {
    EXPECT_EQ(
        co_await error_of(with_deadline(Deadline::in(patience), link->call(write(true)))),
        "deadline_exceeded "
    );
}

Task<> is_answered(LinkPtr link) {
    (void)co_await with_deadline(Deadline::in(test::patience), link->call(write(true)));
}

TEST(EtcdLink, AMemberThatHangsIsLeftByACallerWhoWaitsForLessThanAnAttempt) {
    FakeCluster cluster{first_hangs()};
    Loops loops;
    const auto link = make_link(cluster);
    EXPECT_RUNS(loops, give_up_after(link, 300ms));
    EXPECT_RUNS(loops, is_answered(link));
    EXPECT_EQ(cluster.asked("one:1"), 1U);
    EXPECT_EQ(cluster.asked("two:2"), 1U);
}

Task<> many_give_up(LinkPtr link) {
    std::vector<Task<>> all;
    for (int i = 0; i < 4; ++i) all.push_back(give_up_after(link, 300ms));
    co_await when_all(std::move(all));
}

TEST(EtcdLink, ManyWhoGiveUpTogetherLeaveOneMember) {
    FakeCluster cluster{first_hangs()};
    Loops loops;
    const auto link = make_link(cluster);
    EXPECT_RUNS(loops, many_give_up(link));
    EXPECT_RUNS(loops, is_answered(link));
    EXPECT_EQ(cluster.asked("one:1"), 4U);
    EXPECT_EQ(cluster.asked("two:2"), 1U);
}

/// Never answers.
struct SilentWire : test::AskingWire<SilentWire> {
    struct Ignored : Call {
        void cancel() noexcept override {}
    };
    explicit SilentWire(int& asked_) : asked{asked_} {}
    template <class Request, class Reply>
    Handle ask(const Request&, const CallOptions&, Done<Reply>) {
        ++asked;
        return std::make_shared<Ignored>();
    }
    std::shared_ptr<WatchCall> watch(const CallOptions&, WatchHandlers) override { return nullptr; }
    int& asked;
};

TEST(EtcdLink, ACallerInAHurryLeavesNoMember) {
    std::map<std::string, int> asked;
    EtcdOptions options;
    options.endpoints = {"http://one:1", "http://two:2"};
    const auto link = std::make_shared<Link>(std::move(options), [&](const WireOptions& wire) {
        return std::make_unique<SilentWire>(asked[wire.target]);
    });
    stator::testing::SeededScheduler scheduler{1};
    scheduler.spawn(0, [](LinkPtr of) -> Task<> {
        for (int i = 0; i < 10; ++i) co_await give_up_after(of, 20ms);
    }(link));
    scheduler.run_to_end();
    EXPECT_EQ(asked["one:1"], 10);
    EXPECT_EQ(asked["two:2"], 0);
}

/// The answer to what Identity asks.
EtcdTransactionReply identity_reply(EtcdHeader header, std::string id) {
    EtcdTransactionReply reply;
    reply.header = header;
    reply.results.push_back({.entries = {{.key = Identity::key, .value = std::move(id)}}});
    return reply;
}

Task<bool> has_changed(std::shared_ptr<Identity> identity) {
    co_return co_await identity->changed(Deadline::in(2s));
}

TEST(EtcdIdentity, NoticesEverySignOfAnotherStore) {
    std::mutex lock;
    AnyReply next;
    FakeCluster cluster{[&](const std::string&, const AnyRequest&, const std::string&) {
        const std::lock_guard guard{lock};
        return std::optional<AnyReply>{next};
    }};
    Loops loops;
    const auto identity = std::make_shared<Identity>(make_link(cluster));
    const auto changed = [&](EtcdHeader header, std::string id) {
        {
            const std::lock_guard guard{lock};
            next = identity_reply(header, std::move(id));
        }
        return loops.run(has_changed(identity)).value_or(false);
    };
    EXPECT_FALSE(changed({1, 1, 10, 3}, "a")) << "the first is the one to compare with";
    EXPECT_FALSE(changed({1, 2, 10, 3}, "a"));
    EXPECT_FALSE(changed({1, 1, 12, 4}, "a"));
    EXPECT_TRUE(changed({1, 1, 12, 4}, "b")) << "another key";
    EXPECT_FALSE(changed({1, 1, 12, 4}, "b"));
    EXPECT_TRUE(changed({1, 1, 11, 4}, "b")) << "an older revision";
    EXPECT_TRUE(changed({1, 1, 11, 3}, "b")) << "an older term";
    EXPECT_TRUE(changed({2, 1, 11, 3}, "b")) << "another cluster";
    EXPECT_FALSE(changed({2, 1, 20, 9}, "b"));
}

/// A cluster with nothing in it, for what only its stream tells.
FakeCluster::Answerer empty_store(std::string id) {
    return [id](const std::string&, const AnyRequest& request, const std::string&) {
        const auto* const transaction = std::get_if<EtcdTransaction>(&request);
        if (transaction != nullptr && !transaction->conditions.empty())
            return std::optional<AnyReply>{identity_reply({1, 1, 10, 1}, id)};
        EtcdTransactionReply reply{.header = {1, 1, 10, 1}, .succeeded = true, .results = {{}}};
        return std::optional<AnyReply>{std::move(reply)};
    };
}

WatchMessage change(std::int64_t id, std::string key, std::int64_t revision, bool fragment) {
    return {
        .header = {1, 1, revision, 1},
        .id = id,
        .fragment = fragment,
        .changes = {{.entry = {.key = std::move(key), .value = "v", .mod_revision = revision}}},
    };
}

class EtcdWatches : public ::testing::Test {
protected:
    ~EtcdWatches() override {
        const auto ended = Loops::run_on(loops_.secondary(), scope_.close());
        EXPECT_TRUE(ended);
        watches_.close();
    }
    Watch watch(std::string prefix = "v1/test/") {
        auto made = Loops::run_on(loops_.secondary(), watches_.watch(std::move(prefix)));
        EXPECT_TRUE(made) << made.error().what();
        return made ? std::move(*made) : Watch{};
    }
    static Watches::Observer quiet() {
        return {
            .other_store = [] {},
            .own_changed = [](const std::string&, std::optional<std::int64_t>) {}
        };
    }
    std::string next(Watch& from) { return loops_.run(next_description(&from)).value_or("error"); }

    /// What is asked of that key or prefix is answered so from now on; as before, if it is fine.
    void refuse(std::string key, Status status) {
        const std::lock_guard guard{lock_};
        refused_.insert_or_assign(std::move(key), std::move(status));
    }
    test::RecordingSink sink_;
    std::mutex lock_;
    std::map<std::string, Status> refused_;
    FakeCluster cluster_{
        [this, answer = empty_store("a")](
            const std::string& member, const AnyRequest& request, const std::string& token
        ) {
            const auto* const asked = std::get_if<EtcdTransaction>(&request);
            const std::lock_guard guard{lock_};
            const auto refused = asked == nullptr || asked->then.empty()
                                     ? refused_.end()
                                     : refused_.find(asked->then.front().key);
            if (refused != refused_.end() && !refused->second.ok())
                return std::optional<AnyReply>{refused->second};
            return answer(member, request, token);
        }
    };
    Loops loops_;
    TaskScope scope_;
    LinkPtr link_ = make_link(cluster_);
    Watches watches_{link_, std::make_shared<Identity>(link_), scope_, quiet()};
};

TEST_F(EtcdWatches, AStreamThatBreaksOffBetweenPiecesTellsNothingTwice) {
    auto seen = watch();
    EXPECT_EQ(next(seen), "=0");
    const auto first = cluster_.stream(1);
    const auto target = first->created(1).front();
    EXPECT_EQ(target.start_revision, 11);
    first->say(change(target.id, "v1/test/a", 11, false));
    EXPECT_EQ(next(seen), "+v1/test/a");
    first->say(change(target.id, "v1/test/b", 12, true));
    first->end(cut_off);
    const auto second = cluster_.stream(2);
    EXPECT_EQ(second->created(1).front().start_revision, 12) << "what was whole is not asked for";
    second->say(change(target.id, "v1/test/b", 12, true));
    second->say(change(target.id, "v1/test/c", 12, false));
    EXPECT_EQ(next(seen), "+v1/test/b");
    EXPECT_EQ(next(seen), "+v1/test/c");
    EXPECT_EQ(sink_.counted("store_watch_streams_lost_total"), 1U);
}

TEST_F(EtcdWatches, AWatchThatMayNotBeEndsItsReadersByName) {
    auto seen = watch();
    EXPECT_EQ(next(seen), "=0");
    const auto stream = cluster_.stream(1);
    stream->say({
        .id = stream->created(1).front().id,
        .created = true,
        .cancelled = true,
        .cancel_reason = "etcdserver: permission denied",
    });
    EXPECT_EQ(loops_.run(error_of(seen.next())).value_or(""), "permission_denied store.permission");
}

/// Those of the same stream are none the worse for it.
TEST_F(EtcdWatches, APrefixThatCanBeReadNoMoreEndsItsReadersAlone) {
    auto seen = watch();
    EXPECT_EQ(next(seen), "=0");
    const auto stream = cluster_.stream(1);
    const auto id = stream->created(1).front().id;
    const std::vector<std::pair<Status, std::string>> refusals{
        {{7, "etcdserver: permission denied"}, "permission_denied store.permission"},
        {{8, "Received message larger than max"}, "payload_too_large store.answer_too_large"},
    };
    std::int64_t revision = 30;
    std::size_t watches = 1;
    for (const auto& [status, error] : refusals) {
        auto other = watch("v1/other/");
        EXPECT_EQ(next(other), "=0");
        const auto others_id = stream->created(++watches).back().id;
        refuse("v1/other/", status);
        stream->say({.id = others_id, .cancelled = true, .compact_revision = 20});
        auto end = error_of(with_deadline(Deadline::in(test::patience), other.next()));
        ASSERT_EQ(loops_.run(std::move(end)).value_or(""), error);
        stream->say(change(id, "v1/test/a", ++revision, false));
        EXPECT_EQ(next(seen), "+v1/test/a");
        refuse("v1/other/", {});
    }
    EXPECT_EQ(sink_.counted("store_watch_streams_lost_total"), 0U);
}

TEST_F(EtcdWatches, SignsOfLifeMoveTheResumption) {
    auto seen = watch();
    EXPECT_EQ(next(seen), "=0");
    const auto first = cluster_.stream(1);
    const auto target = first->created(1).front();
    first->say({.header = {1, 1, 40, 1}, .id = target.id});
    first->say({.header = {1, 1, 90, 1}, .id = -1});  // of the stream: it promises nothing
    first->end(cut_off);
    EXPECT_EQ(cluster_.stream(2)->created(1).front().start_revision, 41);
}

}  // namespace
}  // namespace stator::store::etcd
