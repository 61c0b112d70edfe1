#include "stator/observe/observe.hpp"

#include <functional>
#include <map>
#include <mutex>
#include <shared_mutex>
#include <string>

#include <fmt/format.h>

#include "stator/base/sink.hpp"
#include "stator/observe/log.hpp"
#include "stator/observe/metrics.hpp"
#include "stator/settings/settings.hpp"

namespace stator::observe {

namespace {

/// Handles by the name that the lower layer uses, made at first use.
template <class Handle>
class Handles {
public:
    template <class Make>
    Handle find(std::string_view name, Make make) {
        {
            const std::shared_lock lock{mutex_};
            if (const auto found = handles_.find(name); found != handles_.end())
                return found->second;
        }
        const std::lock_guard lock{mutex_};
        const auto found = handles_.find(name);
        if (found != handles_.end()) return found->second;
        return handles_.emplace(std::string{name}, make(fmt::format("stator_{}", name)))
            .first->second;
    }

private:
    std::shared_mutex mutex_;
    std::map<std::string, Handle, std::less<>> handles_;
};

class ObservingSink final : public Sink {
public:
    void report(
        Severity severity,
        std::string_view target,
        std::string_view message,
        std::source_location where
    ) noexcept override {
        log::write_for(where, severity, target, message);
    }

    void count(std::string_view name, std::uint64_t by) noexcept override {
        guarded(name, [&] {
            const auto make = [](const std::string& full) {
                return metrics().counter(full, "Counted by a lower layer.");
            };
            counters_.find(name, make).add(by);
        });
    }

    void gauge(std::string_view name, double value) noexcept override {
        guarded(name, [&] {
            const auto make = [](const std::string& full) {
                return metrics().gauge(full, "Set by a lower layer.");
            };
            gauges_.find(name, make).set(value);
        });
    }

private:
    /// A bad name is a defect of the caller's; it is reported, not thrown where nobody expects it.
    template <class Update>
    static void guarded(std::string_view name, Update update) noexcept {
        try {
            update();
        } catch (const std::exception& error) {
            static constinit log::Every every{std::chrono::seconds{10}};
            if (every.due()) log::error("stator::observe", "metric {}: {}", name, error.what());
        }
    }

    Handles<Counter> counters_;
    Handles<Gauge> gauges_;
};

}  // namespace

void install_sink() {
    static auto& sink = *new ObservingSink;
    set_sink(&sink);
}

Result<void> start(const settings::Settings& settings) {
    const auto& logging = settings.logging;
    auto filter = LogFilter::parse(logging.filter);
    if (!filter) {
        return std::unexpected{
            filter.error().with_context(std::string{settings.source_of("logging.filter")})
        };
    }
    log::start({
        .filter = std::move(*filter),
        .jsonl = logging.jsonl,
        .ansi = logging.ansi,
        .local_time = logging.local_time,
        .span_events = logging.span_events,
    });
    install_sink();
    return {};
}

}  // namespace stator::observe
