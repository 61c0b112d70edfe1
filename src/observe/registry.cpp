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
#include "stator/observe/log.hpp"
#include "stator/observe/metric_scope.hpp"
#include "stator/observe/metrics.hpp"

namespace stator::observe {

namespace {

using Cell = std::variant<Counter, UpDownCounter, Gauge, Histogram>;
constexpr std::string_view type_names[] = {
    "a counter", "an up-down counter", "a gauge", "a histogram"
};

/// Who has made a series through a scope keeps it; one that was made without stays.
struct Series {
    Cell cell;
    std::size_t keepers = 0;
    bool stays = false;
};

struct Family {
    std::string help;
    std::size_t type = 0;
    std::map<Labels, Series> metrics;
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

/// Whether all of `wanted` are among `labels`.
bool has_all(const Labels& labels, const Labels& wanted) {
    return std::ranges::all_of(wanted, [&](const auto& one) {
        return std::ranges::find(labels, one) != labels.end();
    });
}

bool same_labels(const prometheus::ClientMetric& metric, const Labels& labels) {
    return std::ranges::equal(metric.label, labels, [](const auto& one, const auto& other) {
        return one.name == other.first && one.value == other.second;
    });
}

using Families = std::map<std::string, prometheus::MetricFamily, std::less<>>;

}  // namespace

/// Collectors are called under `calling`, so that the end of one waits for its call. Apart from the
/// registry's lock: a collector may make series of its own.
struct Collector::Entry {
    std::mutex calling;
    std::function<void(Samples&)> collect;
};

struct Samples::State {
    Families& families;
};

struct Registry::State {
    mutable std::mutex mutex;  // guards the families, not the cells
    std::map<std::string, Family, std::less<>> families;
    std::vector<std::weak_ptr<Collector::Entry>> collectors;

    template <class Handle, class Make>
    Handle find(
        std::string_view name, std::string_view help, const Labels& labels, bool kept, Make make
    );
    void release(std::string_view name, const Labels& key);
    std::optional<std::vector<double>> bounds_of(std::string_view name, const Labels& labels) const;
    static void collect_histogram(prometheus::ClientMetric& metric, const Histogram& histogram);
    static void collect_family(
        prometheus::MetricFamily& into, const Family& family, const Labels& having
    );
    std::vector<std::shared_ptr<Collector::Entry>> current_collectors();
    void sample(Families& into);
    std::vector<prometheus::MetricFamily> collect_all(const Labels& having);
};

template <class Handle, class Make>
Handle Registry::State::find(
    std::string_view name, std::string_view help, const Labels& labels, bool kept, Make make
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
    if (found == metrics.end()) found = metrics.emplace(key, Series{.cell = make()}).first;
    auto& series = found->second;
    if (kept) {
        ++series.keepers;
    } else {
        series.stays = true;
    }
    return std::get<Handle>(series.cell);
}

std::optional<std::vector<double>> Registry::State::bounds_of(
    std::string_view name, const Labels& labels
) const {
    const auto key = checked(name, labels);
    const std::lock_guard guard{mutex};
    const auto family = families.find(name);
    if (family == families.end()) return std::nullopt;
    const auto found = family->second.metrics.find(key);
    if (found == family->second.metrics.end()) return std::nullopt;
    const auto* histogram = std::get_if<Histogram>(&found->second.cell);
    if (histogram == nullptr) return std::nullopt;
    return histogram->cells_->bounds;
}

void Registry::State::release(std::string_view name, const Labels& key) {
    const std::lock_guard guard{mutex};
    const auto family = families.find(name);
    if (family == families.end()) return;
    const auto found = family->second.metrics.find(key);
    if (found == family->second.metrics.end() || found->second.keepers == 0) return;
    if (--found->second.keepers > 0 || found->second.stays) return;
    family->second.metrics.erase(found);
    if (family->second.metrics.empty()) families.erase(family);
}

Registry::Registry() : state_{std::make_shared<State>()} {}
Registry::~Registry() = default;

Counter Registry::counter_of(
    std::string_view name, std::string_view help, const Labels& labels, bool kept
) {
    return state_->find<Counter>(name, help, labels, kept, [] {
        return Counter{std::make_shared<detail::Shards>()};
    });
}

UpDownCounter Registry::up_down_counter_of(
    std::string_view name, std::string_view help, const Labels& labels, bool kept
) {
    return state_->find<UpDownCounter>(name, help, labels, kept, [] {
        return UpDownCounter{std::make_shared<detail::Shards>()};
    });
}

Gauge Registry::gauge_of(
    std::string_view name, std::string_view help, const Labels& labels, bool kept
) {
    return state_->find<Gauge>(name, help, labels, kept, [] {
        return Gauge{std::make_shared<std::atomic<double>>(0.0)};
    });
}

Histogram Registry::histogram_of(
    std::string_view name,
    std::string_view help,
    std::span<const double> bounds,
    const Labels& labels,
    bool kept
) {
    const auto wanted = checked(name, bounds);
    const auto make = [&] {
        auto cells = std::make_shared<detail::HistogramCells>();
        cells->bounds = wanted;
        return Histogram{std::move(cells)};
    };
    // Looked at first: what is refused must not be kept.
    if (const auto known = state_->bounds_of(name, labels); known && *known != wanted)
        refuse(fmt::format("the histogram {} has other bounds already", name));
    return state_->find<Histogram>(name, help, labels, kept, make);
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

void Registry::State::collect_family(
    prometheus::MetricFamily& into, const Family& family, const Labels& having
) {
    for (const auto& [labels, series] : family.metrics) {
        if (!has_all(labels, having)) continue;
        auto& metric = into.metric.emplace_back();
        for (const auto& [label, value] : labels) metric.label.push_back({label, value});
        const auto& cell = series.cell;
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
}

namespace {

void add_sample(
    Families& families,
    std::string_view name,
    std::string_view help,
    const Labels& labels,
    prometheus::MetricType type,
    double value
) {
    const auto key = checked(name, labels);
    auto& family = families[std::string{name}];
    if (family.name.empty()) {
        family.name = name;
        family.help = help;
        family.type = type;
    }
    if (family.type != type) refuse(fmt::format("the metric {} has another type already", name));
    if (std::ranges::any_of(family.metric, [&](const auto& one) { return same_labels(one, key); }))
        refuse(fmt::format("the metric {} has these labels already", name));
    auto& metric = family.metric.emplace_back();
    for (const auto& [label, own] : key) metric.label.push_back({label, own});
    if (type == prometheus::MetricType::Counter) {
        metric.counter.value = value;
    } else {
        metric.gauge.value = value;
    }
}

}  // namespace

void Samples::gauge(
    std::string_view name, std::string_view help, const Labels& labels, double value
) {
    add_sample(state_.families, name, help, labels, prometheus::MetricType::Gauge, value);
}

void Samples::counter(
    std::string_view name, std::string_view help, const Labels& labels, double value
) {
    add_sample(state_.families, name, help, labels, prometheus::MetricType::Counter, value);
}

Collector::~Collector() {
    if (!entry_) return;
    const std::lock_guard guard{entry_->calling};
    entry_->collect = nullptr;
}

Collector Registry::add_collector(std::function<void(Samples&)> collect) {
    auto entry = std::make_shared<Collector::Entry>();
    entry->collect = std::move(collect);
    const std::lock_guard guard{state_->mutex};
    std::erase_if(state_->collectors, [](const auto& known) { return known.expired(); });
    state_->collectors.push_back(entry);
    return Collector{std::move(entry)};
}

std::vector<std::shared_ptr<Collector::Entry>> Registry::State::current_collectors() {
    std::vector<std::shared_ptr<Collector::Entry>> current;
    const std::lock_guard guard{mutex};
    for (const auto& known : collectors) {
        if (auto entry = known.lock()) current.push_back(std::move(entry));
    }
    return current;
}

void Registry::State::sample(Families& into) {
    Samples::State samples{into};
    Samples facade{samples};
    for (const auto& entry : current_collectors()) {
        const std::lock_guard guard{entry->calling};
        try {
            if (entry->collect) entry->collect(facade);
        } catch (const std::exception& error) {
            static constinit log::Every every{std::chrono::seconds{10}};
            if (every.due()) log::error("stator::observe", "collecting metrics: {}", error.what());
        }
    }
}

std::vector<prometheus::MetricFamily> Registry::State::collect_all(const Labels& having) {
    constexpr prometheus::MetricType types[] = {
        prometheus::MetricType::Counter,
        prometheus::MetricType::Gauge,
        prometheus::MetricType::Gauge,
        prometheus::MetricType::Histogram
    };
    Families sampled;
    sample(sampled);
    for (auto& [name, family] : sampled) {
        std::erase_if(family.metric, [&](const auto& metric) {
            return !std::ranges::all_of(having, [&](const auto& wanted) {
                return std::ranges::any_of(metric.label, [&](const auto& label) {
                    return label.name == wanted.first && label.value == wanted.second;
                });
            });
        });
    }
    {
        const std::lock_guard guard{mutex};
        for (const auto& [name, family] : families) {
            auto& into = sampled[name];
            if (!into.name.empty() && into.type != types[family.type]) into.metric.clear();
            into.name = name;
            into.help = family.help;
            into.type = types[family.type];
            collect_family(into, family, having);
        }
    }
    std::vector<prometheus::MetricFamily> collected;
    collected.reserve(sampled.size());
    for (auto& [name, family] : sampled) {
        if (!family.metric.empty()) collected.push_back(std::move(family));
    }
    return collected;
}

void Registry::write(std::ostream& out, const Labels& having) const {
    prometheus::TextSerializer{}.Serialize(out, state_->collect_all(having));
}

std::string Registry::text(const Labels& having) const {
    std::ostringstream out;
    write(out, having);
    return out.str();
}

struct MetricScope::State {
    Registry& registry;
    std::shared_ptr<Registry::State> cells;  // outlives the registry, if it must
    Labels labels;
    std::string prefix;
    std::mutex mutex;
    std::vector<std::pair<std::string, Labels>> made;

    ~State() {
        for (const auto& [name, key] : made) cells->release(name, key);
    }

    template <class Make>
    auto make(std::string_view name, const Labels& own, Make found) {
        for (const auto& [label, value] : own) {
            if (std::ranges::any_of(labels, [&](const auto& one) { return one.first == label; }))
                refuse(fmt::format("the label {} is set by the metric's place", label));
        }
        auto all = labels;
        all.insert(all.end(), own.begin(), own.end());
        auto full = prefix + std::string{name};
        auto key = checked(full, all);
        const std::lock_guard guard{mutex};
        const bool known = std::ranges::any_of(made, [&](const auto& one) {
            return one.first == full && one.second == key;
        });
        // Reserved first: what is kept can always be let go.
        if (!known) made.reserve(made.size() + 1);
        auto handle = found(full, all);
        if (known) {
            cells->release(full, key);
        } else {
            made.emplace_back(std::move(full), std::move(key));
        }
        return handle;
    }
};

MetricScope::MetricScope(Registry& registry, Labels labels, std::string_view prefix)
    : state_{std::make_shared<State>(
          registry, registry.state_, checked("scope", std::move(labels)), std::string{prefix}
      )} {}

Counter MetricScope::counter(std::string_view name, std::string_view help, const Labels& labels)
    const {
    return state_->make(name, labels, [&](const std::string& full, const Labels& all) {
        return state_->registry.counter_of(full, help, all, true);
    });
}

UpDownCounter MetricScope::up_down_counter(
    std::string_view name, std::string_view help, const Labels& labels
) const {
    return state_->make(name, labels, [&](const std::string& full, const Labels& all) {
        return state_->registry.up_down_counter_of(full, help, all, true);
    });
}

Gauge MetricScope::gauge(std::string_view name, std::string_view help, const Labels& labels) const {
    return state_->make(name, labels, [&](const std::string& full, const Labels& all) {
        return state_->registry.gauge_of(full, help, all, true);
    });
}

Histogram MetricScope::histogram(
    std::string_view name,
    std::string_view help,
    std::span<const double> bounds,
    const Labels& labels
) const {
    return state_->make(name, labels, [&](const std::string& full, const Labels& all) {
        return state_->registry.histogram_of(full, help, bounds, all, true);
    });
}

const Labels& MetricScope::labels() const noexcept { return state_->labels; }
std::string MetricScope::text() const { return state_->registry.text(state_->labels); }

Registry& metrics() {
    static auto& registry = *new Registry;
    return registry;
}

}  // namespace stator::observe
