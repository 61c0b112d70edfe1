#include <chrono>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "cli/arguments.hpp"

namespace stator::cli {
namespace {

using namespace std::chrono_literals;
using Words = std::vector<std::string>;

Result<Arguments> parse(Words words) {
    std::vector<const char*> argv{"stator"};
    for (const auto& word : words) argv.push_back(word.c_str());
    return parse_arguments(static_cast<int>(argv.size()), argv.data());
}

template <class T>
T parsed(Words words) {
    auto arguments = parse(std::move(words));
    if (!arguments) throw std::move(arguments).error();
    return std::get<T>(*arguments);
}

std::string refused(Words words) {
    const auto arguments = parse(std::move(words));
    if (arguments) return "was accepted";
    EXPECT_EQ(arguments.error().detail(), "cli.usage");
    return arguments.error().message();
}

using Action = KvArguments::Action;

TEST(StoreOptions, KvHasFourCommands) {
    const auto get = parsed<KvArguments>({"kv", "get", "v1/a/b"});
    EXPECT_EQ(get.action, Action::get);
    EXPECT_EQ(get.key, "v1/a/b");
    EXPECT_EQ(get.timeout, 10s);
    EXPECT_FALSE(get.prefix || get.json);
    EXPECT_TRUE(parsed<KvArguments>({"kv", "get", "v1/a/", "--prefix"}).prefix);
    const auto put = parsed<KvArguments>({"kv", "put", "v1/a/b", "the value", "--json"});
    EXPECT_EQ(put.action, Action::put);
    EXPECT_EQ(put.value, "the value");
    EXPECT_TRUE(put.json);
    EXPECT_FALSE(put.hold);
    EXPECT_EQ(parsed<KvArguments>({"kv", "del", "v1/a/b"}).action, Action::remove);
    const auto watch = parsed<KvArguments>({"kv", "watch", "v1/a/"});
    EXPECT_EQ(watch.action, Action::watch);
    EXPECT_FALSE(watch.timeout) << "until it is interrupted";
    const auto held = parsed<KvArguments>({"kv", "put", "v1/a/b", "x", "--hold"});
    EXPECT_TRUE(held.hold);
    EXPECT_FALSE(held.timeout);
    EXPECT_EQ(
        parsed<KvArguments>({"kv", "watch", "v1/a/", "--timeout", "0.5"}).timeout, Duration{500ms}
    );
}

TEST(StoreOptions, KvSaysWhatIsMissing) {
    EXPECT_NE(refused({"kv"}).find("subcommand"), std::string::npos);
    EXPECT_NE(refused({"kv", "get"}).find("key"), std::string::npos);
    EXPECT_NE(refused({"kv", "put", "v1/a/b"}).find("value"), std::string::npos);
    EXPECT_NE(
        refused({"kv", "get", "v1/a/b", "--timeout", "0"}).find("--timeout"), std::string::npos
    );
}

TEST(StoreOptions, LockTakesTheCommandAsItIs) {
    const auto lock = parsed<LockArguments>(
        {"lock", "l", "--timeout", "2", "--ttl=5", "--json", "--", "ls", "--json", "-l", "--", "x"}
    );
    EXPECT_EQ(lock.name, "l");
    EXPECT_EQ(lock.command, (Words{"ls", "--json", "-l", "--", "x"}));
    EXPECT_EQ(lock.timeout, Duration{2s});
    EXPECT_EQ(lock.ttl, 5s);
    EXPECT_TRUE(lock.json);
    EXPECT_FALSE(lock.shared);
    EXPECT_TRUE(parsed<LockArguments>({"lock", "l", "--shared", "--", "true"}).shared);
    const auto plain = parsed<LockArguments>({"lock", "l", "--", "true"});
    EXPECT_FALSE(plain.timeout) << "it waits for ever";
    EXPECT_EQ(plain.ttl, Duration::zero());
    EXPECT_FALSE(plain.json);
    EXPECT_NE(refused({"lock", "l"}).find("command"), std::string::npos);
    EXPECT_NE(refused({"lock", "l", "--ttl", "-1", "--", "x"}).find("--ttl"), std::string::npos);
}

TEST(StoreOptions, BarrierIsLedOrJoined) {
    const auto leader =
        parsed<BarrierArguments>({"barrier", "b", "--leader", "3", "--data", "d", "--json"});
    EXPECT_EQ(leader.name, "b");
    EXPECT_EQ(leader.workers, 3U);
    EXPECT_EQ(leader.data, "d");
    EXPECT_TRUE(leader.json);
    EXPECT_EQ(leader.timeout, 60s);
    const auto worker =
        parsed<BarrierArguments>({"barrier", "b", "--worker", "w", "--timeout", "1"});
    EXPECT_EQ(worker.workers, 0U);
    EXPECT_EQ(worker.worker, "w");
    EXPECT_EQ(worker.timeout, 1s);
    EXPECT_NE(refused({"barrier", "b"}).find("--worker"), std::string::npos);
    EXPECT_NE(
        refused({"barrier", "b", "--leader", "1", "--worker", "w"}).find("give one"),
        std::string::npos
    );
    EXPECT_NE(refused({"barrier", "b", "--leader", "0"}).find("--leader"), std::string::npos);
    EXPECT_NE(
        refused({"barrier", "b", "--worker", "w", "--data", "d"}).find("--data"), std::string::npos
    );
}

}  // namespace
}  // namespace stator::cli
