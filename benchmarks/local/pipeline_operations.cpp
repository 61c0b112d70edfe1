#include "benchmarks/local/pipeline_operations.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>

#include "stator/pipeline/link.hpp"
#include "stator/pipeline/operators.hpp"

namespace bench {
namespace {

using namespace stator;
using SteadyTime = std::chrono::steady_clock;
using Service = Engine<std::uint64_t, std::uint64_t>;

constexpr std::size_t depth = 16;
constexpr std::size_t requests = 20'000;
constexpr std::uint64_t items = 300'000;

Stream<std::uint64_t> count_to(Context, std::uint64_t last) {
    for (std::uint64_t i = 1; i <= last; ++i) co_yield std::uint64_t{i};
}

struct Passing final : Operator<std::uint64_t, std::uint64_t, std::uint64_t, std::uint64_t> {
    Stream<std::uint64_t> generate(Context context, std::uint64_t last, Service next) override {
        auto numbers = next.generate(std::move(context), last);
        while (auto number = co_await numbers.next()) co_yield std::move(*number);
    }
};

/// `count` more stages on top of `start`.
template <std::size_t count, class Stage, class Start>
auto stacked(Start start, const Stage& stage) {
    if constexpr (count == 0) {
        return start;
    } else {
        return stacked<count - 1>(std::move(start).link(stage), stage);
    }
}

template <std::size_t count, class Stage>
Service pipeline_of(const Stage& stage) {
    return stacked<count>(frontend<std::uint64_t, std::uint64_t>(), stage).link(count_to);
}

Task<double> ns_of(Service service, std::size_t times, std::uint64_t last) {
    std::uint64_t sum = 0;
    const auto started = SteadyTime::now();
    for (std::size_t i = 0; i < times; ++i) {
        auto numbers = service.generate({}, last);
        while (auto number = co_await numbers.next()) sum += *number;
    }
    const std::chrono::duration<double, std::nano> taken = SteadyTime::now() - started;
    if (sum != times * (last * (last + 1) / 2)) throw Error{ErrorCode::internal, "items were lost"};
    co_return taken.count() / static_cast<double>(times * last);
}

Task<double> added_by(Service with, Service without, std::size_t times, std::uint64_t last) {
    const auto base = co_await ns_of(std::move(without), times, last);
    co_return (co_await ns_of(std::move(with), times, last) - base) / static_cast<double>(depth);
}

}  // namespace

template <std::size_t operators>
Task<double> pipeline_request() {
    return ns_of(pipeline_of<operators>(Passing{}), requests, 1);
}

template <std::size_t operators>
Task<double> pipeline_item() {
    return ns_of(pipeline_of<operators>(Passing{}), 1, items);
}

template Task<double> pipeline_request<0>();
template Task<double> pipeline_request<1>();
template Task<double> pipeline_request<4>();
template Task<double> pipeline_request<16>();
template Task<double> pipeline_item<0>();
template Task<double> pipeline_item<1>();
template Task<double> pipeline_item<4>();
template Task<double> pipeline_item<16>();

Task<double> operator_request() {
    return added_by(pipeline_of<depth>(Passing{}), pipeline_of<0>(Passing{}), requests, 1);
}

Task<double> operator_item() {
    return added_by(pipeline_of<depth>(Passing{}), pipeline_of<0>(Passing{}), 1, items);
}

Task<double> mapped_item() {
    const auto stage = map([](std::uint64_t number) { return number; });
    return added_by(pipeline_of<depth>(stage), pipeline_of<0>(stage), 1, items);
}

}  // namespace bench
