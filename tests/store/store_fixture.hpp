// What the tests of stores share: loops, folders that go away, and a sink that remembers.
#pragma once

#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <mutex>
#include <optional>
#include <semaphore>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "stator/base/sink.hpp"
#include "stator/runtime/combinators.hpp"
#include "stator/runtime/loop_pool.hpp"
#include "stator/runtime/on_loop.hpp"
#include "stator/runtime/task_scope.hpp"
#include "stator/runtime/timer.hpp"
#include "stator/store/watch.hpp"

namespace stator::test {

using namespace std::chrono_literals;

/// The bound of every wait that is expected to end.
inline constexpr Duration patience = 20s;

class TemporaryFolder {
public:
    TemporaryFolder() {
        auto name = (std::filesystem::temp_directory_path() / "stator-test-XXXXXX").string();
        if (::mkdtemp(name.data()) == nullptr) std::abort();
        path_ = name;
    }
    TemporaryFolder(const TemporaryFolder&) = delete;
    TemporaryFolder& operator=(const TemporaryFolder&) = delete;
    ~TemporaryFolder() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    const std::filesystem::path& path() const { return path_; }

private:
    std::filesystem::path path_;
};

/// Keeps what is reported and counted while it lives.
class RecordingSink : public Sink {
public:
    RecordingSink() { set_sink(this); }
    RecordingSink(const RecordingSink&) = delete;
    RecordingSink& operator=(const RecordingSink&) = delete;
    ~RecordingSink() override { set_sink(nullptr); }

    void report(
        Severity severity, std::string_view, std::string_view message, std::source_location
    ) noexcept override {
        const std::lock_guard guard{lock_};
        if (severity >= Severity::warn) warnings_.emplace_back(message);
    }
    void count(std::string_view name, std::uint64_t by) noexcept override {
        const std::lock_guard guard{lock_};
        counts_[std::string{name}] += by;
    }
    void gauge(std::string_view, double) noexcept override {}

    std::uint64_t counted(const std::string& name) const {
        const std::lock_guard guard{lock_};
        const auto found = counts_.find(name);
        return found == counts_.end() ? 0 : found->second;
    }
    /// How many warnings contain `text`.
    std::size_t warnings(std::string_view text) const {
        const std::lock_guard guard{lock_};
        std::size_t found = 0;
        for (const auto& warning : warnings_) found += warning.contains(text) ? 1U : 0U;
        return found;
    }

private:
    mutable std::mutex lock_;
    std::vector<std::string> warnings_;
    std::map<std::string, std::uint64_t> counts_;
};

template <class T>
Task<> keep_outcome(Task<T> task, std::optional<Result<T>>* outcome, std::binary_semaphore* done) {
    outcome->emplace(co_await as_result(std::move(task)));
    done->release();
}

/// Two loops with a thread each, as a process has: one for stores, one for the application.
class Loops {
public:
    Loop& secondary() { return pool_[0]; }
    Loop& primary() { return pool_[1]; }

    /// Runs `task` on the application's loop and blocks until it ends.
    template <class T>
    Result<T> run(Task<T> task) {
        return run_on(primary(), std::move(task));
    }
    template <class T>
    static Result<T> run_on(Loop& loop, Task<T> task) {
        std::optional<Result<T>> outcome;
        std::binary_semaphore done{0};
        TaskScope scope;
        scope.spawn_on(loop, keep_outcome(std::move(task), &outcome, &done));
        done.acquire();
        while (scope.size() != 0) std::this_thread::yield();  // the frame goes a moment later
        return std::move(*outcome);
    }

private:
    LoopPool pool_{2, "test"};
};

/// Keeps a loop from running anything while this lives.
class BlockedLoop {
public:
    explicit BlockedLoop(Loop& loop) {
        std::binary_semaphore blocked{0};
        loop.post([this, &blocked] {
            blocked.release();
            release_.acquire();
            left_.release();
        });
        blocked.acquire();
    }
    BlockedLoop(const BlockedLoop&) = delete;
    BlockedLoop& operator=(const BlockedLoop&) = delete;
    ~BlockedLoop() {
        release_.release();
        left_.acquire();
    }

private:
    std::binary_semaphore release_{0};
    std::binary_semaphore left_{0};
};

/// The body of a test that is a task: fails the test by what it throws.
#define EXPECT_RUNS(loops, task)                                        \
    do {                                                                \
        const auto outcome_of_task = (loops).run(task);                 \
        EXPECT_TRUE(outcome_of_task) << outcome_of_task.error().what(); \
    } while (false)

/// In a task, where ASSERT_ cannot return.
inline void require(bool holds, std::string_view what) {
    if (!holds) throw Error{ErrorCode::internal, std::string{what}};
}

inline Task<store::WatchEvent> next_event(store::Watch* watch) {
    auto event = co_await with_deadline(Deadline::in(patience), watch->next());
    require(event.has_value(), "the watch has ended");
    co_return std::move(*event);
}

/// The key, if the event is a put of it or its removal: "+key", "-key"; "=n" for a snapshot of n.
inline std::string describe(const store::WatchEvent& event) {
    using Kind = store::WatchEvent::Kind;
    if (event.kind == Kind::snapshot) return "=" + std::to_string(event.entries.size());
    return (event.kind == Kind::put ? "+" : "-") + event.entry.key;
}

inline Task<std::string> next_description(store::Watch* watch) {
    co_return describe(co_await next_event(watch));
}

/// The code and detail of the error that `task` ends with: "unavailable store.closed".
template <class T>
Task<std::string> error_of(Task<T> task) {
    const auto outcome = co_await as_result(std::move(task));
    if (outcome) co_return "none";
    co_return std::string{to_string(outcome.error().code())} + " " + outcome.error().detail();
}

}  // namespace stator::test
