#include "common/load.hpp"

#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <ctime>

namespace bench {
namespace {

constexpr std::array modes{
    Mode::unary,
    Mode::bulk,
    Mode::stream,
    Mode::paced,
    Mode::idle,
    Mode::over_limit,
    Mode::first,
    Mode::failover,
};

[[noreturn]] void usage_error(const std::string& what) {
    std::fprintf(stderr, "error: %s\n", what.c_str());
    std::exit(2);
}

template <class Number>
Number parse_number(std::string_view option, std::string_view text) {
    Number value{};
    const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (failure != std::errc{} || end != text.data() + text.size() || value < Number{}) {
        usage_error(std::string{option} + " needs a number, not '" + std::string{text} + "'");
    }
    return value;
}

Mode parse_mode(std::string_view text) {
    for (const auto mode : modes) {
        if (text == to_string(mode)) return mode;
    }
    std::string known;
    for (const auto mode : modes)
        known += (known.empty() ? "" : ", ") + std::string{to_string(mode)};
    usage_error("--mode is one of " + known + ", not '" + std::string{text} + "'");
}

std::string number_or_null(std::optional<double> value) {
    if (!value || !std::isfinite(*value)) return "null";
    std::array<char, 64> text{};
    std::snprintf(text.data(), text.size(), "%.3f", *value);
    return text.data();
}

void assign(Options& options, std::string_view name, std::string_view value) {
    if (name == "--mode") {
        options.mode = parse_mode(value);
    } else if (name == "--port") {
        options.port = parse_number<std::uint16_t>(name, value);
    } else if (name == "--concurrency") {
        options.concurrency = parse_number<std::uint32_t>(name, value);
    } else if (name == "--seconds") {
        options.seconds = parse_number<double>(name, value);
    } else if (name == "--warmup") {
        options.warmup = parse_number<double>(name, value);
    } else if (name == "--items") {
        options.items = parse_number<std::uint32_t>(name, value);
    } else if (name == "--size") {
        options.size = parse_number<std::uint32_t>(name, value);
    } else if (name == "--pace-us") {
        options.pace_us = parse_number<std::uint32_t>(name, value);
    } else if (name == "--spread") {
        options.spread = parse_number<unsigned>(name, value) != 0;
    } else if (name == "--plane") {
        if (value != "any" && value != "dynamo") usage_error("--plane is any or dynamo");
        options.dynamo_plane = value == "dynamo";
    } else {
        usage_error("unknown option '" + std::string{name} + "'");
    }
}

}  // namespace

std::string_view to_string(Mode mode) {
    switch (mode) {
        case Mode::unary:
            return "unary";
        case Mode::bulk:
            return "bulk";
        case Mode::stream:
            return "stream";
        case Mode::paced:
            return "paced";
        case Mode::idle:
            return "idle";
        case Mode::over_limit:
            return "over_limit";
        case Mode::first:
            return "first";
        case Mode::failover:
            return "failover";
    }
    return "unknown";
}

Options Options::parse(int argc, const char* const* argv) {
    Options options;
    for (int i = 0; i < argc; i += 2) {
        if (i + 1 == argc) usage_error(std::string{argv[i]} + " needs a value");
        assign(options, argv[i], argv[i + 1]);
    }
    if (options.concurrency == 0) usage_error("--concurrency must be at least 1");
    if (options.counts_items() && options.items == 0) usage_error("--items must be at least 1");
    if (options.mode == Mode::paced && options.pace_us == 0)
        usage_error("--mode paced needs --pace-us");
    if (options.mode != Mode::paced) options.pace_us = 0;
    return options;
}

ServeOptions ServeOptions::parse(int argc, const char* const* argv) {
    ServeOptions options;
    for (int i = 0; i < argc; ++i) {
        const std::string_view name = argv[i];
        if (name == "--unbuffered") {
            options.unbuffered = true;
            continue;
        }
        if (name != "--port" && name != "--limit")
            usage_error("unknown option '" + std::string{name} + "'");
        if (++i == argc) usage_error(std::string{name} + " needs a value");
        if (name == "--port") {
            options.port = parse_number<std::uint16_t>(name, argv[i]);
        } else {
            options.limit = parse_number<std::uint32_t>(name, argv[i]);
        }
    }
    return options;
}

nanoseconds Options::start_delay(std::uint32_t slot) const {
    if (!spread || mode != Mode::paced) return nanoseconds{0};
    return pace() * slot / concurrency;
}

void Tally::merge(const Tally& other) {
    latency.merge(other.latency);
    added_delay.merge(other.added_delay);
    requests += other.requests;
    items += other.items;
    errors += other.errors;
    failed_unaccepted += other.failed_unaccepted;
    failed_accepted += other.failed_accepted;
}

void Window::open() {
    std::puts("measuring");
    std::fflush(stdout);
    cpu_at_open_ = process_cpu();
    opened_ = Clock::now();
    phase_.store(Phase::open, std::memory_order_relaxed);
}

void Window::close() {
    phase_.store(Phase::closed, std::memory_order_relaxed);
    elapsed_ = Clock::now() - opened_;
    cpu_ = process_cpu() - cpu_at_open_;
    std::puts("measured");
    std::fflush(stdout);
}

void Window::report(std::string_view peer, const Options& options, const Tally& tally) const {
    const auto seconds = std::chrono::duration<double>{elapsed_}.count();
    const auto operations = options.counts_items() ? tally.items : tally.requests;
    const auto cpu_us = std::chrono::duration<double, std::micro>{cpu_}.count();
    std::string line = "{\"peer\":\"" + std::string{peer} + "\",\"mode\":\"" +
                       std::string{to_string(options.mode)} + "\"";
    const auto add = [&line](const char* key, const std::string& value) {
        line += std::string{",\""} + key + "\":" + value;
    };
    add("concurrency", std::to_string(options.concurrency));
    add("requests", std::to_string(tally.requests));
    add("items", std::to_string(tally.items));
    add("seconds", number_or_null(seconds));
    add("requests_per_s", number_or_null(static_cast<double>(tally.requests) / seconds));
    add("items_per_s", number_or_null(static_cast<double>(tally.items) / seconds));
    if (options.mode == Mode::bulk) {
        const auto bytes = static_cast<double>(tally.requests) * options.size;
        add("gb_per_s", number_or_null(bytes / seconds / 1e9));
    }
    add("p50_us", number_or_null(tally.latency.percentile_us(0.5)));
    add("p90_us", number_or_null(tally.latency.percentile_us(0.9)));
    add("p99_us", number_or_null(tally.latency.percentile_us(0.99)));
    add("p999_us", number_or_null(tally.latency.percentile_us(0.999)));
    add("errors", std::to_string(tally.errors));
    if (options.mode == Mode::failover) {
        add("failed_unaccepted", std::to_string(tally.failed_unaccepted));
        add("failed_accepted", std::to_string(tally.failed_accepted));
    }
    add("cpu_client_us_per_op",
        operations == 0 ? "null" : number_or_null(cpu_us / static_cast<double>(operations)));
    add("added_delay_p50_us", number_or_null(tally.added_delay.percentile_us(0.5)));
    add("added_delay_p99_us", number_or_null(tally.added_delay.percentile_us(0.99)));
    std::puts((line + "}").c_str());
    std::fflush(stdout);
}

void announce_waiting() {
    std::puts("waiting");
    std::fflush(stdout);
}

void report_first(std::string_view peer, TimePoint answered) {
    const auto at = std::chrono::duration_cast<nanoseconds>(answered.time_since_epoch()).count();
    std::puts(("{\"peer\":\"" + std::string{peer} + "\",\"answered_ns\":" + std::to_string(at) + "}"
    )
                  .c_str());
    std::fflush(stdout);
}

nanoseconds process_cpu() {
    timespec now{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return std::chrono::seconds{now.tv_sec} + nanoseconds{now.tv_nsec};
}

void announce(int port) {
    std::printf("listening %d\n", port);
    std::fflush(stdout);
}

}  // namespace bench
