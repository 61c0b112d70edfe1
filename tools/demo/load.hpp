// Many concurrent completions, and what became of each of them.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "stator/base/error.hpp"
#include "stator/component/router.hpp"
#include "stator/runtime/runtime.hpp"
#include "stator/runtime/task_scope.hpp"
#include "tools/demo/completion.hpp"
#include "tools/demo/report.hpp"

namespace stator::demo {

using llm::NgramModel;

using CompletionRouter = Router<CompletionRequest, std::string>;

/// One request. Written by its own task only; read by others once that has ended.
struct Call {
    CompletionRequest request{};
    InstanceId worker{};     ///< who accepted it
    std::size_t pieces = 0;  ///< that came, and were the right ones
    bool altered = false;    ///< a wrong one came, one too many, or the end too early
    bool ended = false;
    std::optional<Error> error{};  ///< what ended it, unless it was completed
    TimePoint ended_at{};
};

/// Owned by the show; made, used and closed on one loop, while its calls run on every loop of the
/// primary pool.
class Load {
public:
    Load(
        Runtime runtime,
        CompletionRouter router,
        std::shared_ptr<const NgramModel> model,
        const std::vector<InstanceId>& workers,  // all that may ever accept a call
        CancellationToken parent
    );

    /// Starts that many calls, of 40 to 60 words each.
    void start(std::size_t count);

    std::size_t started() const noexcept { return calls_.size(); }
    std::size_t accepted() const noexcept { return accepted_.load(); }
    std::size_t running() const noexcept { return calls_.size() - ended_.load(); }
    std::size_t words() const noexcept { return words_.load(); }
    /// Streams that this worker has accepted and that have not ended.
    std::size_t running_at(InstanceId worker) const noexcept;

    /// Waits until every call has ended. Cancel safety: throws `cancelled`, the calls go on.
    Task<> join() { return scope_.join(); }
    /// Cancels what runs and waits for it.
    Task<> close() { return scope_.close(); }
    const std::deque<Call>& calls() const noexcept { return calls_; }

private:
    struct Running {
        InstanceId id;
        std::atomic<std::size_t> streams{0};
    };
    Task<> run(Call* call);
    Task<> follow(Call* call);
    void on_accepted(Call& call, InstanceId worker);
    Running* running_of(InstanceId worker) noexcept;

    Runtime runtime_;
    CompletionRouter router_;
    std::shared_ptr<const NgramModel> model_;
    std::deque<Call> calls_;  // a call stays where it is while others are added
    std::deque<Running> workers_;
    std::atomic<std::size_t> accepted_{0};
    std::atomic<std::size_t> ended_{0};
    std::atomic<std::size_t> words_{0};
    TaskScope scope_;
};

/// Counts what ended, by worker; `figures.workers` and `ids` are in the same order.
void tally(
    const std::deque<Call>& calls,
    const std::vector<InstanceId>& ids,
    TimePoint killed_at,
    Figures& figures
);

/// Beginnings that licence texts know how to go on with.
const std::vector<std::string>& prompts();

}  // namespace stator::demo
