#include <chrono>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "cli/arguments.hpp"

namespace stator::cli {
namespace {

using namespace std::chrono_literals;
using Words = std::vector<std::string>;
using Action = ObjectArguments::Action;

Result<Arguments> parse(Words words) {
    std::vector<const char*> argv{"stator", "nats"};
    for (const auto& word : words) argv.push_back(word.c_str());
    return parse_arguments(static_cast<int>(argv.size()), argv.data());
}

ObjectArguments object(Words words) {
    words.insert(words.begin(), "object");
    auto arguments = parse(std::move(words));
    if (!arguments) throw std::move(arguments).error();
    return std::get<ObjectArguments>(*arguments);
}

std::string refused(Words words) {
    const auto arguments = parse(std::move(words));
    if (arguments) return "was accepted";
    EXPECT_EQ(arguments.error().detail(), "cli.usage");
    return arguments.error().message();
}

TEST(NatsOptions, InfoHasATimeOfItsOwn) {
    const auto plain = std::get<NatsInfoArguments>(parse({"info"}).value());
    EXPECT_FALSE(plain.json);
    EXPECT_EQ(plain.timeout, 10s);
    const auto all =
        std::get<NatsInfoArguments>(parse({"info", "--json", "--timeout", "2"}).value());
    EXPECT_TRUE(all.json);
    EXPECT_EQ(all.timeout, 2s);
}

TEST(NatsOptions, ObjectHasFiveCommands) {
    const auto put = object({"put", "things", "a name", "file"});
    EXPECT_EQ(put.action, Action::put);
    EXPECT_EQ(put.bucket, "things");
    EXPECT_EQ(put.name, "a name");
    EXPECT_EQ(put.file, "file");
    EXPECT_FALSE(put.json);
    EXPECT_EQ(put.timeout, 60s);
    const auto get = object({"get", "things", "a", "file", "--json", "--timeout", "0.5"});
    EXPECT_EQ(get.action, Action::get);
    EXPECT_TRUE(get.json);
    EXPECT_EQ(get.timeout, Duration{500ms});
    EXPECT_EQ(object({"ls", "things"}).action, Action::list);
    EXPECT_EQ(object({"info", "things", "a"}).action, Action::info);
    EXPECT_EQ(object({"rm", "things", "a"}).action, Action::remove);
    EXPECT_EQ(object({"rm", "things", "a"}).name, "a");
    EXPECT_EQ(object({"rm", "things", "--all"}).name, "");
}

TEST(NatsOptions, WhatIsIncompleteOrTooMuchIsRefused) {
    EXPECT_TRUE(refused({"object", "rm", "things"}).contains("--all"));
    EXPECT_TRUE(refused({"object", "rm", "things", "a", "--all"}).contains("--all"));
    EXPECT_TRUE(refused({"object", "ls", "things", "--timeout", "0"}).contains("--timeout"));
    EXPECT_TRUE(refused({"info", "--timeout", "-1"}).contains("--timeout"));
    for (const Words& bad : std::vector<Words>{
             {},
             {"object"},
             {"object", "ls"},
             {"object", "put", "things", "a"},
             {"object", "get", "things"},
             {"object", "info", "things"},
             {"object", "move", "things"},
         })
        EXPECT_NE(refused(bad), "was accepted");
}

}  // namespace
}  // namespace stator::cli
