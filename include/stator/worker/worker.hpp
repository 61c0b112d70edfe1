// Worker: the frame of a process that runs an application until it is asked to end.
#pragma once

#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>

#include "stator/base/error.hpp"
#include "stator/net/address.hpp"
#include "stator/runtime/runtime.hpp"
#include "stator/worker/engine_routes.hpp"
#include "stator/worker/hosted_worker.hpp"

namespace stator::inline worker {

/// Exit statuses of `execute`.
inline constexpr int exit_ok = 0;
inline constexpr int exit_failed = 1;  ///< The application threw.
inline constexpr int exit_usage = 2;   ///< Bad settings.
/// What _Exit is given when the grace period has run out; the parent sees 143.
inline constexpr int exit_timeout = 911;

/// Owns settings, logging, the runtime and the signals of the process. One per process, used in
/// main, moved nowhere else. `int main() { return stator::Worker::from_settings().execute(app); }`
///
/// SIGINT and SIGTERM ask for the end: the root token is cancelled, which cancels the application's
/// task; from then on everything shares one deadline (`DYN_WORKER_GRACEFUL_SHUTDOWN_TIMEOUT`).
/// Requests end by themselves until 0.8 of it, are asked to stop then and killed at 0.9. When it
/// has run out, or at a second signal, the process ends with a last log line that names what was
/// unfinished. SIGUSR1 prints the metrics to stderr.
class Worker {
public:
    /// From the layered settings of this process. Never throws: a bad setting is kept and reported
    /// by `execute`.
    static Worker from_settings();
    /// With settings at hand, e.g. changed by a command line.
    static Worker with_settings(const settings::Settings& settings);
    /// Inside a loop that runs already, with the settings of this process: see HostedWorker. Never
    /// throws: elsewhere, or with a bad setting, its `execute` reports the error.
    static HostedWorker from_current();
    Worker(Worker&&) noexcept;
    Worker& operator=(Worker&&) = delete;
    ~Worker();

    /// What the status server serves below /engine/.
    const EngineRoutes& engine() const noexcept;
    /// Where the status server listens; nothing if there is none (`system.port`), or it could not
    /// be started.
    std::optional<net::Address> status_address() const;

    /// What has to be done when the process is asked to end, while its requests are still
    /// finishing: all of these at the same time, on the primary pool, bounded by the one deadline,
    /// which they are given. The end waits for them; what one throws is logged. Before `execute`.
    void on_drain(std::string name, std::function<Task<>(Deadline)> callback);

    /// Runs `app` on the primary pool under the root token until it returns; then shuts everything
    /// down. `app` is `Task<>(Runtime)` or `Task<int>(Runtime)`, whose number becomes the exit
    /// status. Returns the exit status: what the app returned, 0 also when it was cancelled by the
    /// shutdown; 1 when it threw, 2 for bad settings (both are logged), a status server that cannot
    /// listen among them. Does not return when the grace period runs out. Throws
    /// Error{invalid_request, "worker.executed"} when it is called again.
    template <class App>
    int execute(App app) {
        claim();
        return run_claimed(application(std::move(app)));
    }

    /// As `execute`, on a thread of its own: the status, once it is there. Whoever lets go of the
    /// future waits for it. The worker outlives it.
    template <class App>
    std::future<int> execute_async(App app) {
        claim();
        return std::async(std::launch::async, [this, app = std::move(app)]() mutable {
            return run_claimed(application(std::move(app)));
        });
    }

private:
    struct State;
    using Application = std::move_only_function<Task<int>(Runtime)>;
    explicit Worker(std::unique_ptr<State> state) noexcept;
    template <class App>
    static Application application(App app) {
        return [app = std::move(app)](Runtime runtime) mutable -> Task<int> {
            if constexpr (std::is_same_v<std::invoke_result_t<App&, Runtime>, Task<int>>) {
                return app(std::move(runtime));
            } else {
                return succeed(app(std::move(runtime)));
            }
        };
    }
    static Task<int> succeed(Task<> app);
    void claim();
    int run_claimed(Application app);
    std::unique_ptr<State> state_;
};

}  // namespace stator::inline worker
