#include "stator/store/steady_watch.hpp"

#include <utility>

#include <fmt/format.h>

#include "stator/base/sink.hpp"
#include "stator/runtime/timer.hpp"

namespace stator::store {

Task<SteadyWatch> SteadyWatch::open(std::shared_ptr<KeyValueStore> store, std::string prefix) {
    auto watch = co_await store->watch(prefix);
    co_return SteadyWatch{std::move(store), std::move(prefix), std::move(watch)};
}

SteadyWatch::SteadyWatch(std::shared_ptr<KeyValueStore> store, std::string prefix, Watch watch)
    : store_{std::move(store)},
      prefix_{std::move(prefix)},
      watch_{std::move(watch)},
      backoff_{BackoffPolicy{}} {}

Task<std::optional<WatchEvent>> SteadyWatch::next() {
    for (;;) {
        if (!watch_ && !co_await open_again()) co_return std::nullopt;
        auto event = co_await as_result(watch_->next());
        if (event) {
            backoff_.reset();
            co_return std::move(*event);
        }
        if (!event.error().retryable()) throw std::move(event.error());
        sink().count("store_watch_losses_total", 1);
        if (backoff_.attempts() == 0)
            sink().report(
                Severity::warn,
                "stator::store",
                fmt::format("the watch of {} broke: {}", prefix_, event.error().what())
            );
        watch_.reset();
    }
}

std::optional<WatchEvent> SteadyWatch::try_next() {
    if (!watch_) return std::nullopt;
    try {
        return watch_->try_next();
    } catch (const Error&) {
        return std::nullopt;  // `next` meets it, too, and deals with it
    }
}

/// False when the store is closed.
Task<bool> SteadyWatch::open_again() {
    for (;;) {
        co_await sleep_for(backoff_.next());
        auto watch = co_await as_result(store_->watch(prefix_));
        if (watch) {
            watch_ = std::move(*watch);
            co_return true;
        }
        if (watch.error().detail() == "store.closed") co_return false;
        if (!watch.error().retryable()) throw std::move(watch.error());
    }
}

}  // namespace stator::store
