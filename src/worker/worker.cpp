#include "stator/worker/worker.hpp"

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <thread>

#include <fmt/format.h>

#include "stator/base/sink.hpp"
#include "stator/observe/log.hpp"
#include "stator/observe/metrics.hpp"
#include "stator/observe/observe.hpp"
#include "stator/settings/settings.hpp"
#include "worker/signals.hpp"

namespace stator::inline worker {

using namespace std::chrono_literals;

namespace {

constexpr auto flush_limit = 200ms;
// timeout(1) signals its child and then the whole group, a terminal the group of a wrapper that
// passes its own signal on: what comes twice at once is asked once.
constexpr auto one_request = 100ms;

std::string joined(const std::vector<std::string>& parts) {
    constexpr std::size_t shown = 8;
    std::string text;
    for (std::size_t i = 0; i < std::min(parts.size(), shown); ++i)
        text += (i == 0 ? "" : ", ") + parts[i];
    if (parts.size() > shown) text += fmt::format(" and {} more", parts.size() - shown);
    return text.empty() ? "nothing that is known by name" : text;
}

void say(Severity severity, const std::string& line) {
    sink().report(severity, "stator::worker", line);
}

/// What the application left behind. Written by its task before it tells the main thread.
struct Outcome {
    int status = exit_ok;
    std::optional<Error> error;
};

Task<> run_application(
    Task<int> app, CancellationToken root, Outcome* outcome, SignalQueue* signals
) {
    try {
        outcome->status = co_await with_token(std::move(root), std::move(app));
    } catch (...) {
        outcome->error = to_error(std::current_exception());
    }
    signals->notify_done();
}

Task<> tear_down(Runtime runtime, Deadline deadline, SignalQueue* signals) {
    co_await runtime.tear_down(deadline);
    signals->notify_done();
}

}  // namespace

struct Worker::State {
    SignalQueue signals;  // first: every thread made later inherits its mask
    std::optional<Error> bad_settings;
    std::optional<Runtime> runtime;
    bool asked_to_end = false;
    TimePoint asked_at{};

    void start(const settings::Settings& settings);
    /// Handles signals until somebody calls `notify_done`.
    void wait_until_done();
    void handle(int signal);
    [[noreturn]] void give_up(std::string_view why) const;
    /// Joins every thread of the runtime, bounded by the deadline.
    void join();
};

void Worker::State::start(const settings::Settings& settings) {
    if (auto started = observe::start(settings); !started) {
        bad_settings = std::move(started.error());
        return;
    }
    try {
        runtime.emplace(Runtime::from_settings(settings));
    } catch (const Error& error) {
        bad_settings = error;
    }
}

void Worker::State::handle(int signal) {
    if (signal == SIGUSR1) {
        observe::metrics().write(std::cerr);
        std::cerr.flush();
        return;
    }
    const auto now = Clock::steady().now();
    if (std::exchange(asked_to_end, true)) {
        if (now - asked_at < one_request) return;
        give_up("a second signal");
    }
    asked_at = now;
    const auto seconds = std::chrono::duration<double>(runtime->graceful_timeout()).count();
    say(Severity::info,
        fmt::format("{}: ending within {:g} s", signal == SIGINT ? "SIGINT" : "SIGTERM", seconds));
    runtime->shutdown();
}

void Worker::State::wait_until_done() {
    for (;;) {
        const auto event = signals.wait(runtime->shutdown_deadline());
        switch (event.kind) {
            case SignalQueue::Kind::done:
                return;
            case SignalQueue::Kind::signal:
                handle(event.signal);
                break;
            case SignalQueue::Kind::deadline:
                give_up("the grace period has run out");
        }
    }
}

void Worker::State::give_up(std::string_view why) const {
    say(Severity::error, fmt::format("{}; unfinished: {}", why, joined(runtime->unfinished())));
    log::flush(flush_limit);
    std::_Exit(exit_timeout);
}

void Worker::State::join() {
    std::thread joiner{[this] {
        runtime->stop();
        signals.notify_done();
    }};
    wait_until_done();
    joiner.join();
}

Worker::Worker(std::unique_ptr<State> state) noexcept : state_{std::move(state)} {}
Worker::Worker(Worker&&) noexcept = default;
Worker::~Worker() = default;

Worker Worker::from_settings() {
    auto state = std::make_unique<State>();
    auto loaded = settings::load_from_process();
    if (loaded) {
        state->start(*loaded);
    } else {
        state->bad_settings = std::move(loaded.error());
    }
    return Worker{std::move(state)};
}

Worker Worker::with_settings(const settings::Settings& settings) {
    auto state = std::make_unique<State>();
    state->start(settings);
    return Worker{std::move(state)};
}

Task<int> Worker::succeed(Task<> app) {
    co_await std::move(app);
    co_return exit_ok;
}

int Worker::run(Application app) {
    if (state_->bad_settings) {
        say(Severity::error, state_->bad_settings->what());
        log::flush(flush_limit);
        return exit_usage;
    }
    auto& runtime = *state_->runtime;
    Outcome outcome;
    runtime.primary().spawn(
        run_application(app(runtime), runtime.primary_token(), &outcome, &state_->signals)
    );
    state_->wait_until_done();
    runtime.shutdown();  // starts the clock if nobody has
    runtime.secondary().spawn(tear_down(runtime, runtime.shutdown_deadline(), &state_->signals));
    state_->wait_until_done();
    state_->join();

    const auto& counts = runtime.shutdown_counts();
    const bool told =
        state_->asked_to_end && outcome.error && outcome.error->code() == ErrorCode::cancelled;
    if (outcome.error && !told) {
        say(Severity::error, fmt::format("the application failed: {}", outcome.error->what()));
        outcome.status = exit_failed;
    }
    // A command that came to its own end has nothing to add.
    if (state_->asked_to_end || counts.stopped + counts.killed > 0) {
        say(Severity::info,
            fmt::format(
                "ended; {} requests were asked to stop, {} were killed",
                counts.stopped.load(),
                counts.killed.load()
            ));
    }
    log::flush(flush_limit);
    return outcome.status;
}

}  // namespace stator::inline worker
