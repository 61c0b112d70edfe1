#include "component/stats_source.hpp"

#include <chrono>
#include <system_error>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "stator/base/sink.hpp"
#include "stator/codec/json.hpp"
#include "stator/runtime/combinators.hpp"
#include "stator/runtime/timer.hpp"

namespace stator::inline component {

using namespace std::chrono_literals;

namespace {

/// The original collects answers for 300 ms.
constexpr Duration longest_wait = 200ms;

Task<> wait_for(Event* event) { co_await event->wait(); }

std::string nothing_because(const std::string& why) {
    // What the application throws may be no text.
    return Document{{"error", why}}.dump(-1, ' ', false, Document::error_handler_t::replace);
}

}  // namespace

StatsSource::StatsSource(StatsHandler handler, std::string endpoint, BlockingPool& pool)
    : handler_{std::move(handler)}, endpoint_{std::move(endpoint)}, pool_{pool} {}

Task<std::string> StatsSource::ask() {
    const auto self = shared_from_this();
    const auto asked = self->call();
    if (!asked) co_return std::string{};
    const auto told =
        co_await as_result(with_deadline(Deadline::in(longest_wait), wait_for(&asked->done)));
    if (told) co_return asked->text;
    if (told.error().code() != ErrorCode::deadline_exceeded) throw told.error();
    sink().count("component_stats_late_total", 1);
    co_return nothing_because(
        fmt::format("the statistics of {} take longer than {} ms", endpoint_, longest_wait / 1ms)
    );
}

/// The one that runs, or a new one; none after the end.
std::shared_ptr<StatsSource::Call> StatsSource::call() {
    std::shared_ptr<Call> made;
    {
        const std::lock_guard guard{lock_};
        if (ended_) return nullptr;
        if (call_) return call_;
        made = call_ = std::make_shared<Call>();
    }
    try {
        pool_.post([self = shared_from_this(), made] { self->run(*made); });
    } catch (const std::system_error& error) {
        const std::lock_guard guard{lock_};
        made->text = nothing_because(error.what());
        made->done.set();
        call_ = nullptr;
    }
    return made;
}

void StatsSource::run(Call& call) {
    {
        const std::lock_guard guard{lock_};
        call.begun = !ended_;
    }
    if (call.begun) call.text = told();
    {
        const std::lock_guard guard{lock_};
        call_ = nullptr;
    }
    call.done.set();
}

std::string StatsSource::told() const {
    try {
        auto text = encode_json(handler_());
        return text ? std::move(*text) : nothing_because(text.error().what());
    } catch (const std::exception& error) {
        return nothing_because(error.what());
    } catch (...) {  // it is the application's, and nobody else's
        return nothing_because("the function throws what is no exception");
    }
}

Task<> StatsSource::end(Deadline deadline) {
    const auto self = shared_from_this();
    std::shared_ptr<Call> running;
    {
        const std::lock_guard guard{lock_};
        ended_ = true;
        if (call_ && call_->begun) running = call_;
    }
    if (!running) co_return;
    const auto ended = co_await as_result(with_deadline(deadline, wait_for(&running->done)));
    if (ended) co_return;
    if (ended.error().code() != ErrorCode::deadline_exceeded) throw ended.error();
    sink().report(
        Severity::warn,
        "stator::component",
        fmt::format("the function for the statistics of {} still runs", endpoint_)
    );
}

}  // namespace stator::inline component
