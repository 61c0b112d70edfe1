// Log shipping: lines to an OpenTelemetry collector, in batches.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "stator/base/backoff.hpp"
#include "stator/net/security.hpp"
#include "stator/observe/log_queue.hpp"
#include "stator/observe/metrics.hpp"
#include "stator/runtime/runtime.hpp"
#include "stator/settings/settings.hpp"

namespace stator::inline worker {

/// Where a collector is.
struct Collector {
    net::Address address;
    std::string path = "/";
    net::Security security{};
};

/// From "http://host:port/path"; the port may be missing (80, 443). Errors: invalid_request
/// "worker.otlp" naming what is wrong: no such URL, https without its authority's certificate.
Result<Collector> collector_of(const settings::LoggingSettings& settings);

/// The body of a request: ExportLogsServiceRequest of OTLP 1.x as JSON, one scope per target.
std::string otlp_json(const std::string& service, const std::vector<observe::LogRecord>& records);

/// Sends what is logged, on the secondary pool. Nobody waits for it: a collector that is slow or
/// dead costs the lines that no longer fit into the queue, and they are counted. A batch that it
/// cannot take now is sent again; one that it refuses is dropped. Owned by the runtime as a
/// participant of its end: what is left then is tried once more, for a moment.
class LogShipper final : public ShutdownParticipant {
public:
    struct Options {
        Collector collector;
        std::string service = "dynamo";
        std::size_t queue = 2048;  ///< lines
        std::size_t batch = 512;   ///< lines
        Duration period = std::chrono::seconds{1};
        Duration timeout = std::chrono::seconds{10};  ///< of a request
        Duration last_try = std::chrono::milliseconds{200};
        BackoffPolicy backoff{
            .initial = std::chrono::milliseconds{500},
            .max = std::chrono::seconds{30},
            .factor = 2.0,
        };
    };
    LogShipper(const Runtime& runtime, Options options);
    /// From now on.
    void start();
    Task<> tear_down(Deadline deadline) override;
    std::vector<std::string> unfinished() const override { return {}; }
    /// Lines that the collector was too slow for.
    std::uint64_t dropped() const noexcept { return queue_->dropped(); }

private:
    enum class Fate : std::uint8_t { taken, refused, later };
    Task<> run();
    Task<> finish(Deadline deadline);
    Task<> ship_batch();
    Task<Fate> send(Duration limit);
    Loop& home() const noexcept { return runtime_.secondary().loop(0); }

    const Runtime runtime_;
    const Options options_;
    const std::shared_ptr<observe::LogQueue> queue_;
    const observe::Counter shipped_;
    const observe::Counter refused_;
    observe::Collector dropped_;
    std::vector<observe::LogRecord> batch_;  // on its way; on the loop
    Backoff backoff_;
    const CancellationToken ending_ = CancellationToken::make();
    TaskScope scope_;
};

}  // namespace stator::inline worker
