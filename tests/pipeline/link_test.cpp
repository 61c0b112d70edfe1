#include "stator/pipeline/link.hpp"

#include "reading.hpp"
#include "stator/pipeline/operators.hpp"

namespace stator::testing {
namespace {

using Strings = std::vector<std::string>;

Stream<int> count_to(Context, int last) {
    for (int i = 1; i <= last; ++i) co_yield i;
}
Task<int> doubled(Context, int value) { co_return 2 * value; }

/// Text in, numbers to the engine, text out; asks for one more and says how many came.
struct Spelled final : Operator<std::string, std::string, int, int> {
    Stream<std::string> generate(Context context, std::string text, Engine<int, int> next)
        override {
        auto numbers = next.generate(std::move(context), std::stoi(text) + 1);
        int seen = 0;
        while (auto number = co_await numbers.next()) {
            ++seen;
            co_yield std::to_string(*number);
        }
        co_yield "of " + std::to_string(seen);
    }
};

/// Passes on what it is given, without a coroutine.
struct Through final : Operator<int, int, int, int> {
    Stream<int> generate(Context context, int request, Engine<int, int> next) override {
        return next.generate(std::move(context), request);
    }
};

TEST(Link, AnEngineAloneIsAPipeline) {
    on_a_loop([]() -> Task<> {
        const auto service = frontend<int, int>().link(count_to);
        EXPECT_EQ(co_await collect(service.generate({}, 2)), (std::vector{1, 2}));
    });
}

TEST(Link, AnOperatorSeesBothDirections) {
    on_a_loop([]() -> Task<> {
        const Engine<std::string, std::string> service =
            frontend<std::string, std::string>().link(Spelled{}).link(Through{}).link(count_to);
        EXPECT_EQ(co_await collect(service.generate({}, "1")), (Strings{"1", "2", "of 2"}));
    });
}

TEST(Link, PipelinesAreEnginesOfOtherPipelines) {
    on_a_loop([]() -> Task<> {
        const auto inner = frontend<int, int>().link(Through{}).link(count_to);
        const auto outer = frontend<std::string, std::string>().link(Spelled{}).link(inner);
        EXPECT_EQ(co_await collect(outer.generate({}, "0")), (Strings{"1", "of 1"}));
    });
}

TEST(Link, StepsRunFromTheEngineToTheFrontend) {
    on_a_loop([]() -> Task<> {
        const auto service = frontend<int, std::string>()
                                 .link(map([](int n) { return std::to_string(n); }))
                                 .link(filter([](int n) { return n % 20 != 0; }))
                                 .link(map([](long n) { return static_cast<int>(n) * 10; }))
                                 .link(map_request([](int n) { return n + 1; }))
                                 .link(map([](int n) { return long{n}; }))
                                 .link(count_to);
        EXPECT_EQ(co_await collect(service.generate({}, 4)), (Strings{"10", "30", "50"}));
    });
}

TEST(Link, SingleAnswersPassThroughTheSameStages) {
    on_a_loop([]() -> Task<> {
        const auto service =
            frontend<std::string, Task<std::string>>()
                .link(map([](int n) { return std::to_string(n); }))
                .link(map_request([](const std::string& text) { return std::stoi(text); }))
                .link(stage("doubling"))
                .link(doubled);
        const Context context;
        EXPECT_EQ(co_await service.generate(context, "21"), "42");
        EXPECT_EQ(context.stages().at(0).name, "doubling");
    });
}

TEST(Link, WhatAStageThrowsComesOutOfTheAnswer) {
    on_a_loop([]() -> Task<> {
        const auto bad_request = frontend<int, int>()
                                     .link(map_request([](int) -> int {
                                         throw Error{ErrorCode::invalid_request, "test.bad", "no"};
                                     }))
                                     .link(count_to);
        auto none = bad_request.generate({}, 1);
        EXPECT_EQ((co_await read_to_the_end(std::move(none))).error->detail(), "test.bad");

        const auto bad_item = frontend<int, int>()
                                  .link(map([](int n) {
                                      if (n == 3) throw Error{ErrorCode::internal, "test.item", ""};
                                      return n;
                                  }))
                                  .link(count_to);
        const auto ended = co_await read_to_the_end(bad_item.generate({}, 9));
        EXPECT_EQ(ended.items, (std::vector{1, 2}));
        EXPECT_EQ(ended.error->detail(), "test.item");
    });
}

TEST(Link, AnswersKeepTheWholePipelineWhichEndsWithThem) {
    on_a_loop([]() -> Task<> {
        const auto alive = std::make_shared<int>(1);
        auto service =
            std::make_optional(frontend<int, int>()
                                   .link(map([alive](int n) { return n * *alive; }))
                                   .link(Through{})
                                   .link(map_request([alive](int n) { return n + *alive; }))
                                   .link([alive](Context, int last) -> Stream<int> {
                                       for (int i = 1; i <= last; ++i) co_yield i** alive;
                                   }));
        EXPECT_EQ(alive.use_count(), 4);
        auto items = service->generate({}, 1);
        service.reset();
        EXPECT_EQ(alive.use_count(), 4);
        EXPECT_EQ(co_await collect(std::move(items)), (std::vector{1, 2}));
        items = {};
        EXPECT_EQ(alive.use_count(), 1);
    });
}

}  // namespace
}  // namespace stator::testing
