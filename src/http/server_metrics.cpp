#include "http/server_metrics.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace stator::http {

ServerMetrics::ServerMetrics(std::string server) : server_{std::move(server)} {
    auto& registry = observe::metrics();
    const observe::Labels labels{{"server", server_}};
    connections = registry.up_down_counter(
        "stator_http_connections", "Open connections of an HTTP server", labels
    );
    evicted = registry.counter(
        "stator_http_evicted_connections_total", "Idle connections that made room", labels
    );
    crowded_out = registry.counter(
        "stator_http_refused_connections_total", "Connections that found no room", labels
    );
    for (std::size_t i = 0; i < answers_.size(); ++i) {
        auto with_status = labels;
        with_status.emplace_back("status", fmt::format("{}xx", i + 1));
        answers_[i] =
            registry.counter("stator_http_responses_total", "Answers, by status", with_status);
    }
}

void ServerMetrics::answered(unsigned status) const noexcept {
    answers_[std::clamp(status / 100, 1U, 5U) - 1].add();
}

void ServerMetrics::refused(std::string_view why) const {
    // Rare, so looked up: the reasons are few.
    observe::metrics()
        .counter(
            "stator_http_bad_requests_total",
            "Requests that could not be read, and connections that failed, by reason",
            {{"server", server_}, {"reason", std::string{why}}}
        )
        .add();
}

}  // namespace stator::http
