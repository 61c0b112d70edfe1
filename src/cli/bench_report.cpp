#include "cli/bench_report.hpp"

#include <array>
#include <cmath>
#include <string_view>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "cli/call_summary.hpp"

namespace stator::cli {

namespace {

using Json = nlohmann::ordered_json;

constexpr std::array<std::pair<const char*, double>, 4> quantiles{{
    {"p50", 0.5},
    {"p90", 0.9},
    {"p99", 0.99},
    {"p99.9", 0.999},
}};

std::string duration_text(std::optional<double> us) {
    return us ? to_text(Duration{std::llround(*us * 1000)}) : std::string{"unknown"};
}

std::string histogram_text(const LatencyHistogram& histogram) {
    if (histogram.count() == 0) return "none";
    std::string text;
    for (const auto& [name, quantile] : quantiles) {
        text += fmt::format("{} {}, ", name, duration_text(histogram.percentile_us(quantile)));
    }
    return text + fmt::format("max {}", duration_text(histogram.max_us()));
}

Json rounded(std::optional<double> value) {
    if (!value || !std::isfinite(*value)) return nullptr;
    return std::round(*value * 1000) / 1000;
}

Json histogram_json(const LatencyHistogram& histogram) {
    if (histogram.count() == 0) return nullptr;
    return {
        {"p50", rounded(histogram.percentile_us(0.5))},
        {"p90", rounded(histogram.percentile_us(0.9))},
        {"p99", rounded(histogram.percentile_us(0.99))},
        {"p999", rounded(histogram.percentile_us(0.999))},
        {"max", rounded(histogram.max_us())},
    };
}

/// "812 B/s", "1.23 GB/s": decimal units, as networks are measured.
std::string rate_text(double bytes_per_second) {
    struct Unit {
        double size;
        std::string_view name;
    };
    static constexpr Unit units[] = {{1e9, "GB"}, {1e6, "MB"}, {1e3, "kB"}};
    for (const auto& unit : units) {
        const double value = bytes_per_second / unit.size;
        if (value >= 1) return fmt::format("{:.3g} {}/s", value, unit.name);
    }
    return fmt::format("{:.0f} B/s", bytes_per_second);
}

std::string errors_text(const std::map<ErrorCode, std::uint64_t>& errors) {
    std::string text;
    for (const auto& [code, count] : errors) {
        text += fmt::format("{}{} {}", text.empty() ? "" : ", ", to_string(code), count);
    }
    return text.empty() ? "none" : text;
}

Json errors_json(const std::map<ErrorCode, std::uint64_t>& errors) {
    Json object = Json::object();
    for (const auto& [code, count] : errors) object[std::string{to_string(code)}] = count;
    return object;
}

Json workers_json(const std::vector<BenchWorker>& workers) {
    Json list = Json::array();
    for (const auto& worker : workers) {
        list.push_back(
            {{"instance_id", worker.instance.to_string()},
             {"pid", worker.pid ? Json(*worker.pid) : Json(nullptr)}}
        );
    }
    return list;
}

Json load_json(const BenchLoad& load) {
    const auto milliseconds = [](Duration duration) {
        return std::chrono::duration<double, std::milli>{duration}.count();
    };
    return {
        {"workload", to_string(load.workload)},
        {"concurrency", load.concurrency},
        {"rate", load.open_loop() ? Json(load.rate) : Json(nullptr)},
        {"items_per_answer", load.items},
        {"size", load.size},
        {"pace_ms", milliseconds(load.pace)},
        {"tail_percent", load.tail_percent},
        {"tail_ms", milliseconds(load.tail_delay)},
        {"tail_hold_ms", milliseconds(load.tail_hold)},
        {"warmup_s", std::chrono::duration<double>{load.warmup}.count()},
    };
}

}  // namespace

void BenchTally::fail(const Error& error, TimePoint when) {
    ++errors[error.code()];
    if (first_failure) return;
    first_failure = error;
    first_failure_at = when;
}

void BenchTally::merge(const BenchTally& other) {
    latency.merge(other.latency);
    tail_latency.merge(other.tail_latency);
    added_delay.merge(other.added_delay);
    requests += other.requests;
    items += other.items;
    bytes_sent += other.bytes_sent;
    bytes_received += other.bytes_received;
    unstarted += other.unstarted;
    for (const auto& [code, count] : other.errors) errors[code] += count;
    if (!other.first_failure) return;
    if (first_failure && first_failure_at <= other.first_failure_at) return;
    first_failure = other.first_failure;
    first_failure_at = other.first_failure_at;
}

double BenchReport::per_second(std::uint64_t count) const {
    const auto seconds = std::chrono::duration<double>{elapsed}.count();
    return seconds > 0 ? static_cast<double>(count) / seconds : 0;
}

std::optional<double> BenchReport::us_per_operation(std::optional<Duration> cpu) const {
    const auto operations = load.counts_items() ? tally.items : tally.requests;
    if (!cpu || operations == 0) return std::nullopt;
    return std::chrono::duration<double, std::micro>{*cpu}.count() /
           static_cast<double>(operations);
}

std::string BenchReport::table() const {
    auto text = fmt::format("{}, {} in flight", to_string(load.workload), load.concurrency);
    if (load.open_loop()) text += fmt::format(" at most, {:g} due each second", load.rate);
    text += fmt::format(", {} after {}\n", to_text(elapsed), to_text(load.warmup));
    text += fmt::format("requests     {} ({:.0f}/s)\n", tally.requests, per_second(tally.requests));
    text += fmt::format("items        {} ({:.0f}/s)\n", tally.items, per_second(tally.items));
    text += fmt::format(
        "bytes        {} sent, {} received\n",
        rate_text(per_second(tally.bytes_sent)),
        rate_text(per_second(tally.bytes_received))
    );
    text += fmt::format("latency      {}\n", histogram_text(tally.latency));
    if (load.tail_percent > 0) {
        text += fmt::format("slow ones    {}\n", histogram_text(tally.tail_latency));
    }
    if (load.workload == BenchWorkload::paced) {
        text += fmt::format("added delay  {}\n", histogram_text(tally.added_delay));
    }
    if (load.open_loop()) text += fmt::format("never sent   {}\n", tally.unstarted);
    text += fmt::format("errors       {}\n", errors_text(tally.errors));
    text += fmt::format(
        "cpu          client {}, workers {}, per {}\n",
        duration_text(us_per_operation(client_cpu)),
        duration_text(us_per_operation(worker_cpu)),
        load.counts_items() ? "item" : "request"
    );
    return text;
}

std::string BenchReport::json() const {
    Json object{{"endpoint", endpoint}};
    object.update(load_json(load));
    object.update(Json{
        {"seconds", rounded(std::chrono::duration<double>{elapsed}.count())},
        {"requests", tally.requests},
        {"items", tally.items},
        {"requests_per_s", rounded(per_second(tally.requests))},
        {"items_per_s", rounded(per_second(tally.items))},
        {"bytes_sent_per_s", rounded(per_second(tally.bytes_sent))},
        {"bytes_received_per_s", rounded(per_second(tally.bytes_received))},
        {"latency_us", histogram_json(tally.latency)},
        {"tail_latency_us", histogram_json(tally.tail_latency)},
        {"added_delay_us", histogram_json(tally.added_delay)},
        {"unstarted", load.open_loop() ? Json(tally.unstarted) : Json(nullptr)},
        {"errors", errors_json(tally.errors)},
        {"operation", load.counts_items() ? "item" : "request"},
        {"cpu_client_us_per_op", rounded(us_per_operation(client_cpu))},
        {"cpu_workers_us_per_op", rounded(us_per_operation(worker_cpu))},
        {"workers", workers_json(workers)},
    });
    return object.dump() + "\n";
}

}  // namespace stator::cli
