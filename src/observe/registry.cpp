// What a Registry keeps, and its text. The only source that includes prometheus-cpp.
#include <algorithm>
#include <map>
#include <mutex>
#include <sstream>
#include <variant>

#include <fmt/format.h>
#include <prometheus/metric_family.h>
#include <prometheus/metric_type.h>
#include <prometheus/text_serializer.h>

#include "observe/log_lines.hpp"
#include "stator/base/text.hpp"
#include "stator/observe/metrics.hpp"

namespace stator::observe {

namespace {

using Cell = std::variant<Counter, UpDownCounter, Gauge, Histogram>;
constexpr std::string_view type_names[] = {
    "a counter", "an up-down counter", "a gauge", "a histogram"
};

struct Family {
    std::string help;
    std::size_t type = 0;
    std::map<Labels, Cell> metrics;
};

[[noreturn]] void refuse(std::string message) {
    throw Error{ErrorCode::invalid_request, "metrics.invalid", std::move(message)};
}

bool is_name(std::string_view text, std::string_view also) noexcept {
    const auto letter = [also](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
               also.find(c) != std::string_view::npos;
    };
    if (text.empty() || !letter(text.front())) return false;
    return std::ranges::all_of(text, [&](char c) { return letter(c) || (c >= '0' && c <= '9'); });
}

/// In one order, so that a set of labels has one spelling.
Labels checked(std::string_view name, Labels labels) {
    if (!is_name(name, ":")) refuse(fmt::format("{} is no metric name", quoted_text(name)));
    std::ranges::sort(labels);
    for (std::size_t i = 0; i < labels.size(); ++i) {
        auto& [label, value] = labels[i];
        if (!is_name(label, "") || label.starts_with("__")) {
            refuse(fmt::format("{} is no label name, in metric {}", quoted_text(label), name));
        }
        if (i > 0 && labels[i - 1].first == label)
            refuse(fmt::format("the label {} comes twice in metric {}", label, name));
        value = one_line(value);
    }
    return labels;
}

std::vector<double> checked(std::string_view name, std::span<const double> bounds) {
    const bool grow = std::ranges::adjacent_find(bounds, [](double a, double b) {
                          return !(a < b);
                      }) == bounds.end();
    if (bounds.size() > detail::max_bounds || !grow) {
        refuse(
            fmt::format("the bounds of {} must grow, and be at most {}", name, detail::max_bounds)
        );
    }
    return {bounds.begin(), bounds.end()};
}

void collect(prometheus::ClientMetric& metric, const Counter& counter) {
    metric.counter.value = static_cast<double>(counter.value());
}

void collect(prometheus::ClientMetric& metric, const UpDownCounter& counter) {
    metric.gauge.value = static_cast<double>(counter.value());
}

void collect(prometheus::ClientMetric& metric, const Gauge& gauge) {
    metric.gauge.value = gauge.value();
}

}  // namespace

struct Registry::State {
    mutable std::mutex mutex;  // guards the families, not the cells
    std::map<std::string, Family, std::less<>> families;

    template <class Handle, class Make>
    Handle find(std::string_view name, std::string_view help, const Labels& labels, Make make);
    static void collect_histogram(prometheus::ClientMetric& metric, const Histogram& histogram);
    static prometheus::MetricFamily collect_family(const std::string& name, const Family& family);
    std::vector<prometheus::MetricFamily> collect_all() const;
};

template <class Handle, class Make>
Handle Registry::State::find(
    std::string_view name, std::string_view help, const Labels& labels, Make make
) {
    const auto key = checked(name, labels);
    const auto type = Cell{Handle{}}.index();
    const std::lock_guard guard{mutex};
    auto family = families.find(name);
    if (family == families.end()) {
        family = families
                     .emplace(
                         std::string{name},
                         Family{.help = std::string{help}, .type = type, .metrics = {}}
                     )
                     .first;
    } else if (family->second.type != type) {
        refuse(fmt::format("the metric {} is {} already", name, type_names[family->second.type]));
    }
    auto& metrics = family->second.metrics;
    auto found = metrics.find(key);
    if (found == metrics.end()) found = metrics.emplace(key, make()).first;
    return std::get<Handle>(found->second);
}

Registry::Registry() : state_{std::make_unique<State>()} {}
Registry::~Registry() = default;

Counter Registry::counter(std::string_view name, std::string_view help, const Labels& labels) {
    return state_->find<Counter>(name, help, labels, [] {
        return Counter{std::make_shared<detail::Shards>()};
    });
}

UpDownCounter Registry::up_down_counter(
    std::string_view name, std::string_view help, const Labels& labels
) {
    return state_->find<UpDownCounter>(name, help, labels, [] {
        return UpDownCounter{std::make_shared<detail::Shards>()};
    });
}

Gauge Registry::gauge(std::string_view name, std::string_view help, const Labels& labels) {
    return state_->find<Gauge>(name, help, labels, [] {
        return Gauge{std::make_shared<std::atomic<double>>(0.0)};
    });
}

Histogram Registry::histogram(
    std::string_view name,
    std::string_view help,
    std::span<const double> bounds,
    const Labels& labels
) {
    const auto wanted = checked(name, bounds);
    const auto make = [&] {
        auto cells = std::make_shared<detail::HistogramCells>();
        cells->bounds = wanted;
        return Histogram{std::move(cells)};
    };
    auto histogram = state_->find<Histogram>(name, help, labels, make);
    if (histogram.cells_->bounds != wanted)
        refuse(fmt::format("the histogram {} has other bounds already", name));
    return histogram;
}

void Registry::remove(std::string_view name, const Labels& labels) {
    const auto key = checked(name, labels);
    const std::lock_guard guard{state_->mutex};
    const auto family = state_->families.find(name);
    if (family == state_->families.end()) return;
    family->second.metrics.erase(key);
    if (family->second.metrics.empty()) state_->families.erase(family);
}

void Registry::State::collect_histogram(
    prometheus::ClientMetric& metric, const Histogram& histogram
) {
    const auto taken = histogram.snapshot();
    std::uint64_t below = 0;
    for (std::size_t i = 0; i < taken.counts.size(); ++i) {
        below += taken.counts[i];
        const bool last = i == histogram.cells_->bounds.size();
        const double bound =
            last ? std::numeric_limits<double>::infinity() : histogram.cells_->bounds[i];
        metric.histogram.bucket.push_back({.cumulative_count = below, .upper_bound = bound});
    }
    metric.histogram.sample_count = below;
    metric.histogram.sample_sum = taken.sum;
}

prometheus::MetricFamily Registry::State::collect_family(
    const std::string& name, const Family& family
) {
    constexpr prometheus::MetricType types[] = {
        prometheus::MetricType::Counter,
        prometheus::MetricType::Gauge,
        prometheus::MetricType::Gauge,
        prometheus::MetricType::Histogram
    };
    prometheus::MetricFamily collected;
    collected.name = name;
    collected.help = family.help;
    collected.type = types[family.type];
    for (const auto& [labels, cell] : family.metrics) {
        auto& metric = collected.metric.emplace_back();
        for (const auto& [label, value] : labels) metric.label.push_back({label, value});
        if (const auto* histogram = std::get_if<Histogram>(&cell)) {
            collect_histogram(metric, *histogram);
        } else if (const auto* counter = std::get_if<Counter>(&cell)) {
            collect(metric, *counter);
        } else if (const auto* steps = std::get_if<UpDownCounter>(&cell)) {
            collect(metric, *steps);
        } else {
            collect(metric, std::get<Gauge>(cell));
        }
    }
    return collected;
}

std::vector<prometheus::MetricFamily> Registry::State::collect_all() const {
    const std::lock_guard guard{mutex};
    std::vector<prometheus::MetricFamily> collected;
    collected.reserve(families.size());
    for (const auto& [name, family] : families) collected.push_back(collect_family(name, family));
    return collected;
}

void Registry::write(std::ostream& out) const {
    prometheus::TextSerializer{}.Serialize(out, state_->collect_all());
}

std::string Registry::text() const {
    std::ostringstream out;
    write(out);
    return out.str();
}

Registry& metrics() {
    static auto& registry = *new Registry;
    return registry;
}

}  // namespace stator::observe
