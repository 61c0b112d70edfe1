// HostedWorker: a worker inside a loop of the application's own.
#pragma once

#include <functional>
#include <type_traits>
#include <utility>

#include "stator/base/error.hpp"
#include "stator/runtime/runtime.hpp"

namespace stator::inline worker {

/// What `Worker::from_current` gives: the frame of an application part that runs on a loop which is
/// there already. It takes no signals and never ends the process; it ends when the application part
/// returns, or is asked to by cancelling whoever awaits `execute`, or by `Runtime::shutdown`.
/// Used on that loop only; the loop must run until `execute` has returned.
class HostedWorker {
public:
    explicit HostedWorker(Result<Runtime> runtime) noexcept : runtime_{std::move(runtime)} {}

    /// Runs `app`, which is `Task<>(Runtime)` or `Task<int>(Runtime)`, on this loop under the root
    /// token until it returns; then shuts its runtime down. The result is as `Worker::execute`'s
    /// exit status; 911 when the grace period ran out before everything else had ended. An
    /// application that does not react to its cancellation is waited for: the process is not ours
    /// to end. Cancel safety: asks the application to end and waits for it; does not throw.
    template <class App>
    Task<int> execute(App app) {
        return run([app = std::move(app)](Runtime runtime) mutable -> Task<int> {
            if constexpr (std::is_same_v<std::invoke_result_t<App&, Runtime>, Task<int>>) {
                return app(std::move(runtime));
            } else {
                return succeed(app(std::move(runtime)));
            }
        });
    }

private:
    using Application = std::move_only_function<Task<int>(Runtime)>;
    static Task<int> succeed(Task<> app);
    Task<int> run(Application app);
    Result<Runtime> runtime_;
};

}  // namespace stator::inline worker
