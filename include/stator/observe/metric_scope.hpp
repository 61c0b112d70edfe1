// Metrics of one level of the hierarchy: names and labels in common, a life of their own.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "stator/observe/metrics.hpp"

namespace stator::observe {

/// Metrics of a namespace, a component, an endpoint: each is called prefix + name and has the
/// scope's labels besides its own. A cheap copyable handle; thread-safe. With its last copy the
/// series that were made through it end, unless another scope has made them, too.
///
/// Throws as Registry does, and Error{invalid_request, "metrics.invalid"} for labels of the caller
/// that the scope sets.
class MetricScope {
public:
    /// The prefix of the original's metrics of components.
    static constexpr std::string_view component_prefix = "dynamo_component_";

    MetricScope(Registry& registry, Labels labels, std::string_view prefix = component_prefix);

    Counter counter(std::string_view name, std::string_view help, const Labels& labels = {}) const;
    UpDownCounter up_down_counter(
        std::string_view name, std::string_view help, const Labels& labels = {}
    ) const;
    Gauge gauge(std::string_view name, std::string_view help, const Labels& labels = {}) const;
    Histogram histogram(
        std::string_view name,
        std::string_view help,
        std::span<const double> bounds,
        const Labels& labels = {}
    ) const;

    const Labels& labels() const noexcept;
    /// Everything at this level and below it, whoever made it, in the Prometheus text format.
    std::string text() const;

private:
    struct State;
    std::shared_ptr<State> state_;
};

}  // namespace stator::observe
