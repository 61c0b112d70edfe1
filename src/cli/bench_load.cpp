#include "cli/bench_load.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <utility>

#include <nlohmann/json.hpp>

#include "stator/codec/json.hpp"

namespace stator::cli {

using namespace std::chrono_literals;

namespace {

constexpr std::array<std::pair<BenchWorkload, std::string_view>, 5> names{{
    {BenchWorkload::unary, "unary"},
    {BenchWorkload::stream, "stream"},
    {BenchWorkload::paced, "paced"},
    {BenchWorkload::bulk, "bulk"},
    {BenchWorkload::tail, "tail"},
}};

std::uint64_t milliseconds(Duration duration) {
    return static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::milliseconds>(duration).count()
    );
}

}  // namespace

std::string_view to_string(BenchWorkload workload) noexcept {
    const auto at = std::ranges::find(names, workload, [](const auto& pair) { return pair.first; });
    return at == names.end() ? "unknown" : at->second;
}

std::optional<BenchWorkload> bench_workload_from_name(std::string_view name) noexcept {
    const auto at = std::ranges::find(names, name, [](const auto& pair) { return pair.second; });
    if (at == names.end()) return std::nullopt;
    return at->first;
}

Duration BenchLoad::grace() const noexcept {
    const auto waits = static_cast<Duration::rep>(std::max<std::uint64_t>(items, 1));
    return 5s + pace * waits + tail_delay * waits + tail_hold;
}

Result<BenchRequest> bench_request(const BenchLoad& load, bool slow) {
    BenchRequest request{.body = {}, .items = load.items};
    const auto delay = slow ? load.tail_delay : Duration{};
    const auto hold = slow ? load.tail_hold : Duration{};
    // The handler holds its loop before the second item, so there has to be one.
    if (hold > Duration{}) request.items = std::max<std::uint64_t>(request.items, 2);
    Document document{{"items", request.items}};
    if (load.workload == BenchWorkload::bulk) {
        document["text"] = std::string(load.size, 'x');
    } else {
        document["size"] = load.size;
    }
    if (load.pace > Duration{}) document["pace_ms"] = milliseconds(load.pace);
    if (delay > Duration{}) document["delay_ms"] = milliseconds(delay);
    if (hold > Duration{}) document["hold_ms"] = milliseconds(hold);
    auto body = encode_msgpack(document);
    if (!body) return std::unexpected{std::move(body).error()};
    request.body = std::move(*body);
    return request;
}

BenchSchedule::BenchSchedule(const BenchLoad& load, TimePoint start) noexcept
    : start_{start},
      warmup_{load.warmup},
      duration_{load.duration},
      rate_{load.rate},
      slow_share_{load.tail_percent / 100} {}

TimePoint BenchSchedule::due(std::uint64_t number) const noexcept {
    const std::chrono::duration<double> after{static_cast<double>(number) / rate_};
    return start_ + std::chrono::duration_cast<Duration>(after);
}

bool BenchSchedule::slow(std::uint64_t number) const noexcept {
    const auto until = [this](std::uint64_t count) {
        return std::floor(static_cast<double>(count) * slow_share_ + 1e-9);
    };
    return until(number + 1) > until(number);
}

}  // namespace stator::cli
