// Whether a process is ready for requests, and if not, why.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "stator/base/clock.hpp"
#include "stator/runtime/task.hpp"

namespace stator::observe {

/// Where one instance of an endpoint stands.
enum class InstanceState : std::uint8_t {
    starting,    ///< not published yet, or not probed yet
    ready,       ///< can be found and called
    recovering,  ///< the store has lost its record, or cannot be reached
    draining,    ///< finishes its requests, or has been taken off line by an operator
    unhealthy,   ///< its probes fail, or its requests make no progress
};

std::string_view to_string(InstanceState state) noexcept;

struct InstanceHealth {
    std::string endpoint;  ///< "ns.component.endpoint"
    std::string instance;  ///< its id in hex
    InstanceState state = InstanceState::starting;
    std::string reason{};  ///< in words; empty where the state says all
    /// Where its records stand: unregistered, registering, registered, recovering, draining, gone;
    /// empty where nothing is published.
    std::string registration{};

    bool ready() const noexcept { return state == InstanceState::ready; }
    /// The last part of `endpoint`.
    std::string_view endpoint_name() const noexcept;
};

/// One request that is being served.
struct RequestView {
    std::string id;
    Duration age{};
    std::string state;  ///< live, stopped or killed
};

/// What an operator may ask of an instance.
class InstanceControl {
public:
    virtual ~InstanceControl() = default;
    /// Takes it off line until `resume`: nobody finds it, new requests are refused, those that run
    /// finish. Returns when that is so; idempotent. Errors: `draining` when it ends anyway, those
    /// of discovery: it is on line then. Cancel safety: throws `cancelled`; it may be tried again.
    virtual Task<> drain() = 0;
    /// The way back; idempotent. Errors: as above, and it is off line then.
    virtual Task<> resume() = 0;
};

/// What an instance that is served here tells about itself. Called on any thread, must not block.
class InstanceView {
public:
    virtual ~InstanceView() = default;
    virtual InstanceHealth health() const = 0;
    /// Its discovery record as JSON; nothing while it has none.
    virtual std::optional<std::string> record() const = 0;
    virtual std::vector<RequestView> requests() const = 0;
    /// Null where it cannot be asked for anything. The result keeps the instance.
    virtual std::shared_ptr<InstanceControl> control() const { return nullptr; }
};

struct HealthPolicy {
    /// Without an endpoint, until the first one was there.
    bool ready_at_start = false;
    /// Endpoints that decide, by "ns.component.endpoint" or its last part, and that must be there;
    /// none: all that are there.
    std::vector<std::string> deciding{};
};

struct HealthReport {
    bool ready = false;
    std::vector<std::string> reasons{};  ///< why not; empty when ready
    std::vector<InstanceHealth> instances{};
};

/// The rule, as a function: `had_any` says whether anything was ever served here, `holds` what else
/// speaks against it.
HealthReport judge(
    const HealthPolicy& policy,
    bool had_any,
    std::vector<std::string> holds,
    std::vector<InstanceHealth> instances
);

/// The health of a process: it asks the instances when somebody asks it, so that it is never
/// behind. Thread-safe.
class Health {
public:
    Health();
    Health(const Health&) = delete;
    Health& operator=(const Health&) = delete;
    ~Health();

    void configure(HealthPolicy policy);
    HealthReport report() const;
    Duration uptime() const;
    std::vector<std::shared_ptr<const InstanceView>> instances() const;

    /// Ends what it stands for when it dies. Movable.
    class Entry {
    public:
        Entry() noexcept = default;
        explicit Entry(std::function<void()> end) : end_{std::move(end)} {}
        Entry(Entry&& other) noexcept : end_{std::exchange(other.end_, nullptr)} {}
        Entry& operator=(Entry other) noexcept {
            std::swap(end_, other.end_);
            return *this;
        }
        ~Entry() {
            if (end_) end_();
        }

    private:
        std::function<void()> end_;
    };
    /// Counts until the entry dies; nothing depends on which of the two dies first.
    [[nodiscard]] Entry add(std::shared_ptr<const InstanceView> instance);
    /// Not ready as long as the entry lives.
    [[nodiscard]] Entry hold(std::string reason);

private:
    struct State;
    std::shared_ptr<State> state_;
};

/// The process's health; never destroyed.
const std::shared_ptr<Health>& health();

}  // namespace stator::observe
