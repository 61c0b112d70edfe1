#include "stator/events/publisher.hpp"

#include <chrono>
#include <utility>

#include "events/bus_core.hpp"
#include "events/publisher_state.hpp"

namespace stator::events {

namespace {

std::uint64_t unix_ms() {
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    return static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::milliseconds>(now).count()
    );
}

/// What a frame's length can say, and more than any plane takes.
constexpr std::size_t most_payload = std::size_t{1} << 30U;

}  // namespace

Publisher::State::State(
    std::shared_ptr<EventBus::Core> bus_, EventChannel identity_, std::shared_ptr<Outlet> out
)
    : bus{std::move(bus_)}, identity{std::move(identity_)}, out_{std::move(out)} {}

Result<Publisher::State::Outcome> Publisher::State::attempt(const Bytes& payload) {
    if (payload.size() > most_payload)
        return fail(ErrorCode::payload_too_large, "events.too_large", "an event above 1 GiB");
    const std::lock_guard guard{lock_};
    if (!out_)
        return fail(ErrorCode::unavailable, "events.closed", "this publisher has been closed");
    auto full = out_->send(
        {.publisher_id = identity.publisher_id,
         .sequence = next_,
         .published_at = unix_ms(),
         .topic = identity.topic,
         .payload = payload}
    );
    if (!full) return std::unexpected{std::move(full).error()};
    if (*full) return Outcome{std::move(*full), 0};
    return Outcome{nullptr, next_++};
}

Result<std::uint64_t> Publisher::State::try_publish(Bytes payload) {
    auto outcome = attempt(payload);
    if (!outcome) return std::unexpected{std::move(outcome).error()};
    if (outcome->full) {
        return fail(
            ErrorCode::overloaded, "events.full", "a subscriber that holds publishers up is full"
        );
    }
    return outcome->sequence;
}

Task<std::uint64_t> Publisher::State::publish(std::shared_ptr<State> state, Bytes payload) {
    for (;;) {
        auto outcome = state->attempt(payload);
        if (!outcome) throw outcome.error();
        if (!outcome->full) co_return outcome->sequence;
        co_await outcome->full->room();
    }
}

void Publisher::State::end() noexcept {
    std::shared_ptr<Outlet> out;
    const std::lock_guard guard{lock_};
    out = std::move(out_);
}

std::uint64_t Publisher::State::sent() const {
    const std::lock_guard guard{lock_};
    return next_;
}

Publisher& Publisher::operator=(Publisher&& other) noexcept {
    if (this != &other) {
        const Publisher ended{std::move(*this)};
        state_ = std::move(other.state_);
    }
    return *this;
}

Publisher::~Publisher() {
    if (!state_) return;
    state_->end();
    state_->bus->withdraw_soon(state_->identity.key());
}

Task<std::uint64_t> Publisher::publish(Bytes payload) const {
    return State::publish(state_, std::move(payload));
}

Result<std::uint64_t> Publisher::try_publish(Bytes payload) const {
    return state_->try_publish(std::move(payload));
}

Task<> Publisher::close() const {
    state_->end();
    return EventBus::Core::withdraw(state_->bus, state_->identity.key());
}

std::uint64_t Publisher::id() const noexcept { return state_->identity.publisher_id; }
const EventScope& Publisher::scope() const noexcept { return state_->identity.scope; }
const std::string& Publisher::topic() const noexcept { return state_->identity.topic; }
std::uint64_t Publisher::sent() const { return state_->sent(); }

}  // namespace stator::events
