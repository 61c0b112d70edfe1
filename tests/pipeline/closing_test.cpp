// Whatever stands between them: who closes an answer early waits for the tasks of the last engine.
#include <exception>
#include <functional>
#include <memory>

#include "reading.hpp"
#include "stator/pipeline/edges.hpp"
#include "stator/pipeline/link.hpp"
#include "stator/pipeline/operators.hpp"
#include "stator/runtime/task_scope.hpp"
#include "stator/runtime/token_wait.hpp"

namespace stator::testing {
namespace {

using namespace std::chrono_literals;

/// Its answer owns a task; `ended` once both are gone.
Engine<int, int> owner_of_tasks(std::shared_ptr<bool> ended) {
    return [ended](Context, int) -> Stream<int> {
        return [](std::shared_ptr<bool> gone) -> Stream<int> {
            TaskScope scope{co_await current_token()};
            std::exception_ptr failure;
            try {
                auto waits = [](this auto) -> Task<> { co_await sleep_until(Deadline::never()); };
                scope.spawn(waits());
                for (int i = 1;; ++i) co_yield int{i};
            } catch (...) {
                failure = std::current_exception();
            }
            co_await scope.close();
            *gone = true;
            std::rethrow_exception(failure);
        }(ended);
    };
}

void closes_what_is_behind(std::function<Engine<int, int>(Engine<int, int>)> put_before) {
    on_a_loop([&]() -> Task<> {
        const auto ended = std::make_shared<bool>(false);
        const auto service = put_before(owner_of_tasks(ended));
        auto items = service.generate({}, 0);
        EXPECT_EQ(co_await items.next(), 1);
        EXPECT_EQ(co_await items.next(), 2);
        EXPECT_FALSE(*ended);
        co_await items.close();
        EXPECT_TRUE(*ended);
    });
}

template <class Stage>
void closes_through(Stage stage) {
    closes_what_is_behind([&](Engine<int, int> last) {
        return Engine<int, int>{frontend<int, int>().link(stage).link(std::move(last))};
    });
}

TEST(Closing, a_map) {
    closes_through(map([](int item) { return item; }));
}

TEST(Closing, a_filter) {
    closes_through(filter([](int) { return true; }));
}

TEST(Closing, a_timeout) { closes_through(timeout({.between = 10s})); }

TEST(Closing, a_retry) { closes_through(retry({})); }

TEST(Closing, a_rate_limit_that_makes_it_wait) {
    closes_what_is_behind([](Engine<int, int> last) {
        const auto limited = frontend<int, int>().link(rate_limit(1000.0, 1)).link(last);
        (void)limited.generate({}, 0);  // the burst
        return Engine<int, int>{limited};
    });
}

TEST(Closing, edges) {
    closes_what_is_behind([](Engine<int, int> last) {
        const auto front = ServiceFrontend<int, int>::make();
        const auto back = ServiceBackend<int, int>::make(std::move(last));
        EXPECT_TRUE(front->link(back).has_value());
        EXPECT_TRUE(back->link(front->replies()).has_value());
        return front->engine();
    });
}

TEST(Closing, an_error_on_the_way_closes_too) {
    on_a_loop([]() -> Task<> {
        const auto ended = std::make_shared<bool>(false);
        const auto service = frontend<int, int>()
                                 .link(map([](int item) {
                                     if (item == 2) throw Error{ErrorCode::internal, "planned"};
                                     return item;
                                 }))
                                 .link(owner_of_tasks(ended));
        const auto seen = co_await read_to_the_end(service.generate({}, 0));
        EXPECT_EQ(seen.items.size(), 1U);
        EXPECT_EQ(seen.error->code(), ErrorCode::internal);
        EXPECT_TRUE(*ended);
    });
}

}  // namespace
}  // namespace stator::testing
