// Telling the service manager how the process is: systemd's protocol (sd_notify).
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "stator/base/clock.hpp"
#include "stator/runtime/task.hpp"

namespace stator::inline worker {

/// The datagram socket that NOTIFY_SOCKET names, a path or, with @ in front, an abstract name.
/// Thread-safe.
class ServiceManager {
public:
    /// From the environment of this process; nothing if nobody wants to be told.
    static std::optional<ServiceManager> from_environment();
    /// `watchdog`: how often it wants to hear of us; zero: never.
    ServiceManager(std::string socket, Duration watchdog)
        : socket_{std::move(socket)}, watchdog_{watchdog} {}

    /// Sends "READY=1" and the like; says false when that did not work. Never blocks.
    bool tell(std::string_view state) const noexcept;
    Duration watchdog() const noexcept { return watchdog_; }

    struct Signs {
        std::function<bool()> ready;
        std::function<bool()> live;
    };
    /// Says READY=1 once that holds, and WATCHDOG=1 twice per interval while it is live. Until it
    /// is cancelled. The secondary pool is its place: what it says is that that pool turns.
    Task<> accompany(Signs signs) const;

private:
    std::string socket_;
    Duration watchdog_;
};

}  // namespace stator::inline worker
