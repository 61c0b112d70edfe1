#include "stator/pipeline/edges.hpp"

#include "reading.hpp"

namespace stator::testing {
namespace {

using Strings = std::vector<std::string>;

Stream<int> count_to(Context, int last) {
    for (int i = 1; i <= last; ++i) co_yield i;
}

struct Spelled final : Operator<std::string, std::string, int, int> {
    explicit Spelled(std::shared_ptr<int> alive_ = {}) : alive{std::move(alive_)} {}
    Stream<std::string> generate(Context context, std::string text, Engine<int, int> next)
        override {
        auto numbers = next.generate(std::move(context), std::stoi(text));
        while (auto number = co_await numbers.next()) co_yield std::to_string(*number);
    }
    std::shared_ptr<int> alive;
};

using Spelling = PipelineOperator<std::string, std::string, int, int>;

TEST(Edges, AreLinkedOnce) {
    const auto front = ServiceFrontend<int, int>::make();
    const auto back = std::make_shared<ServiceBackend<int, int>>(Engine<int, int>{count_to});
    ASSERT_TRUE(front->link(back));
    const auto again = front->link(back);
    ASSERT_FALSE(again);
    EXPECT_EQ(again.error().code(), ErrorCode::already_exists);
    EXPECT_EQ(again.error().detail(), "pipeline.edge_already_set");
}

TEST(Edges, OneThatIsMissingIsNamed) {
    on_a_loop([]() -> Task<> {
        const auto front = ServiceFrontend<int, int>::make();
        const auto service = front->engine();
        EXPECT_EQ(
            (co_await read_to_the_end(service.generate({}, 1))).error->detail(), "pipeline.no_edge"
        );
        const auto back = std::make_shared<ServiceBackend<int, int>>(Engine<int, int>{count_to});
        front->link(back).value();
        EXPECT_EQ(
            (co_await read_to_the_end(service.generate({}, 1))).error->detail(), "pipeline.no_edge"
        );
        back->link(front->replies()).value();
        EXPECT_EQ(co_await collect(service.generate({}, 2)), (std::vector{1, 2}));
    });
}

TEST(Edges, ForwardAndBackwardEdgesMakeTheSamePipelineAsLink) {
    on_a_loop([]() -> Task<> {
        const auto alive = std::make_shared<int>();
        std::weak_ptr<Sink<int>> backend;
        {
            const auto front = ServiceFrontend<std::string, std::string>::make();
            const Spelling spelling{Spelled{alive}};
            const auto shout =
                pipeline_node<Stream<std::string>, Stream<std::string>>([](Stream<std::string> items
                                                                        ) {
                    return [](Stream<std::string> texts) -> Stream<std::string> {
                        while (auto text = co_await texts.next()) co_yield *text + "!";
                    }(std::move(items));
                });
            const auto more = pipeline_node<int, int>([](int n) { return n + 1; });
            const auto back =
                std::make_shared<ServiceBackend<int, int>>(Engine<int, int>{count_to});
            backend = back;
            front->link(spelling.forward_edge()).value();
            spelling.forward_edge()->link(more).value();
            more->link(back).value();
            back->link(spelling.backward_edge()).value();
            spelling.backward_edge()->link(shout).value();
            shout->link(front->replies()).value();
            auto service = std::make_optional(front->engine());
            EXPECT_EQ(co_await collect(service->generate({}, "1")), (Strings{"1!", "2!"}));
            auto items = service->generate({}, "1");
            EXPECT_EQ(*co_await items.next(), "1!");
        }
        // Nothing goes in circles.
        EXPECT_EQ(alive.use_count(), 1);
        EXPECT_TRUE(backend.expired());
    });
}

TEST(Edges, TwoLiveRequestsOfOneIdAreRefused) {
    on_a_loop([]() -> Task<> {
        const auto front = ServiceFrontend<int, int>::make();
        struct Asks final : Sink<int>, Source<Stream<int>> {
            ServiceFrontend<int, int>* front = nullptr;
            std::optional<Error> nested;
            Task<> on_data(Context context, int request) override {
                nested =
                    (co_await read_to_the_end(front->engine().generate(context, request))).error;
                co_await emit(context, count_to(context, request));
            }
        };
        const auto asks = std::make_shared<Asks>();
        asks->front = front.get();
        front->link(asks).value();
        asks->link(front->replies()).value();
        const Context context;
        EXPECT_EQ(co_await collect(front->engine().generate(context, 1)), std::vector{1});
        EXPECT_EQ(asks->nested->detail(), "pipeline.id_in_use");
        // It is free again.
        asks->nested.reset();
        EXPECT_EQ(co_await collect(front->engine().generate(context, 1)), std::vector{1});
    });
}

TEST(Edges, AnAnswerForNobodyStopsItsRequestAndIsAnError) {
    on_a_loop([]() -> Task<> {
        const auto front = ServiceFrontend<int, int>::make();
        const Context context;
        const auto stray = co_await as_result(front->replies()->on_data(context, count_to({}, 1)));
        EXPECT_EQ(stray.error().detail(), "pipeline.detached_receiver");
        EXPECT_TRUE(context.stopped());
    });
}

TEST(Edges, ASinkThatAnswersNothingIsAnErrorNotAHang) {
    on_a_loop([]() -> Task<> {
        struct Mute final : Sink<int> {
            Task<> on_data(Context, int) override { co_return; }
        };
        const auto front = ServiceFrontend<int, Task<int>>::make();
        front->link(std::make_shared<Mute>()).value();
        const auto reply = co_await as_result(front->engine().generate({}, 1));
        EXPECT_EQ(reply.error().detail(), "pipeline.detached_sender");
    });
}

TEST(Edges, ASegmentIsAttachedOnce) {
    on_a_loop([]() -> Task<> {
        const auto front = SegmentSource<int, int>::make();
        const auto segment = std::make_shared<SegmentSink<int, int>>();
        front->link(segment).value();
        segment->link(front->replies()).value();
        const auto none = co_await read_to_the_end(front->engine().generate({}, 1));
        EXPECT_EQ(none.error->detail(), "pipeline.no_network_edge");
        segment->attach(Engine<int, int>{count_to}).value();
        EXPECT_EQ(
            segment->attach(Engine<int, int>{count_to}).error().detail(),
            "pipeline.edge_already_set"
        );
        EXPECT_EQ(co_await collect(front->engine().generate({}, 1)), std::vector{1});
    });
}

}  // namespace
}  // namespace stator::testing
