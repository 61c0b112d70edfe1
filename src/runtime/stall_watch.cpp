#include "runtime/stall_watch.hpp"

#include <pthread.h>

#include <algorithm>

#include <fmt/format.h>

#include "runtime/signals_blocked.hpp"
#include "stator/base/sink.hpp"

namespace stator::inline runtime::detail {

namespace {

constexpr auto answer_patience = std::chrono::milliseconds{50};

double seconds(Duration duration) { return std::chrono::duration<double>(duration).count(); }

}  // namespace

StallWatch::StallWatch(std::vector<Loop*> loops, Duration threshold) : threshold_{threshold} {
    for (Loop* loop : loops) watched_.push_back({.loop = loop});
    const SignalsBlocked blocked;
    thread_ = std::thread{[this] { run(); }};
}

StallWatch::~StallWatch() {
    {
        const std::lock_guard guard{lock_};
        ending_ = true;
    }
    ending_changed_.notify_one();
    thread_.join();
}

void StallWatch::run() {
    pthread_setname_np(pthread_self(), "stall-watch");
    std::unique_lock guard{lock_};
    while (!ending_changed_.wait_for(guard, threshold_ / 2, [this] { return ending_; })) {
        for (auto& watched : watched_) look_at(watched, Clock::steady().now());
    }
}

void StallWatch::look_at(Watched& watched, TimePoint now) {
    const auto step = watched.loop->step();
    if (step != watched.step || !step.busy()) {
        if (watched.reported) note_length(now - watched.since);
        watched = {.loop = watched.loop, .step = step, .since = now};
        return;
    }
    if (watched.reported || now - watched.since < threshold_) return;
    watched.reported = true;
    report(*watched.loop);  // at once: its stack is of interest while it is held
    note_length(now - watched.since);
    sink().count("runtime_stalls_total", 1);
}

void StallWatch::note_length(Duration length) {
    if (length <= longest_) return;
    longest_ = length;
    sink().gauge("runtime_longest_stall_seconds", seconds(length));
}

void StallWatch::report(Loop& loop) {
    const auto milliseconds =
        std::chrono::duration_cast<std::chrono::milliseconds>(threshold_).count();
    auto frames = stacks_.read(loop.thread(), answer_patience);
    if (!frames) {
        // Without a stack every site is the same one.
        if (!sites_.insert(nullptr).second) return;
        frames.emplace();
    } else if (const auto base = std::ranges::find(*frames, loop.resume_site());
               base - frames->begin() >= 2) {
        // Above the loop's own frames is the function that it resumed.
        if (!sites_.insert(*(base - 2)).second) return;
        frames->erase(base - 1, frames->end());
    } else if (!sites_.insert(frames->empty() ? nullptr : frames->front()).second) {
        return;
    }
    sink().report(
        Severity::warn,
        "stator::runtime",
        fmt::format(
            "loop {} has been held for more than {} ms by one step of a task; blocking calls and "
            "long computation belong on other threads (offload, compute){}",
            loop.name(),
            milliseconds,
            describe(*frames)
        )
    );
}

}  // namespace stator::inline runtime::detail
