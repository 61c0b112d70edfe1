// Probes one served endpoint and watches its requests.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "component/canary_state.hpp"
#include "component/served.hpp"
#include "stator/runtime/runtime.hpp"
#include "stator/runtime/version_gate.hpp"

namespace stator::inline component {

/// Drives a CanaryState: its probes are requests that its own process makes to the handler, on the
/// primary pool, uncounted and unannounced. `run` belongs to the secondary pool, so that a pool of
/// busy loops makes the endpoint unhealthy instead of making nobody notice. What it says may be
/// read on any thread.
class Canary : public std::enable_shared_from_this<Canary> {
public:
    struct Options {
        CanaryState::Config config{};
        std::string payload;  ///< the request, as JSON
        /// Awaited in `run` when the verdict has changed; errors are its own.
        std::function<Task<>(CanaryState::Verdict)> changed;
    };
    Canary(std::shared_ptr<Served> served, Handle primary, Options options);

    /// Until it is cancelled; then ends the probe that runs, and waits for it.
    Task<> run();

    CanaryState::Verdict verdict() const;
    std::string reason() const;

private:
    struct Probe;
    struct Driver;
    static Task<> run_probe(
        std::shared_ptr<Probe> probe, std::shared_ptr<Served> served, std::string payload
    );
    void tell(const CanaryState& state);

    const std::shared_ptr<Served> served_;
    const Handle primary_;
    const Options options_;
    mutable std::mutex lock_;
    CanaryState::Verdict verdict_ = CanaryState::Verdict::pending;
    std::string reason_ = "not probed yet";
};

}  // namespace stator::inline component
