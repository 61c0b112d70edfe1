#include "discovery/registration_machine.hpp"

#include <utility>

namespace stator::discovery {

using State = RegistrationState;

bool RegistrationMachine::publish() noexcept {
    if (state_ != State::unregistered) return false;
    state_ = records_ == 0 ? State::registered : State::registering;
    return true;
}

bool RegistrationMachine::withdraw() noexcept {
    switch (state_) {
        case State::unregistered:
        case State::registering:
        case State::registered:
        case State::recovering:
            take_back(there_);
            return true;
        case State::draining:
        case State::gone:
            break;
    }
    return false;
}

/// A creation under way still has to say whether there is one record more.
void RegistrationMachine::take_back(std::size_t records) noexcept {
    there_ = records;
    const bool over = there_ == 0 && under_way_ == Action::none;
    state_ = over ? State::gone : State::draining;
}

void RegistrationMachine::lease_is(store::LeaseState lease, bool taken) noexcept {
    if (lease == store::LeaseState::revoked) swept_ = true;
    if (state_ != State::registered && state_ != State::recovering) return;
    if (swept_) {
        state_ = State::gone;
    } else {
        const bool whole = lease == store::LeaseState::alive && !taken;
        state_ = whole ? State::registered : State::recovering;
    }
}

std::optional<std::size_t> RegistrationMachine::take(Action wanted) noexcept {
    const bool creates = state_ == State::registering && wanted == Action::create;
    const bool removes = state_ == State::draining && wanted == Action::remove;
    if (under_way_ != Action::none || !(creates || removes)) return std::nullopt;
    under_way_ = wanted;
    return creates ? there_ : there_ - 1;
}

void RegistrationMachine::answered(Answer answer) noexcept {
    if (std::exchange(under_way_, Action::none) == Action::create) {
        created(answer);
    } else {
        removed(answer);
    }
}

void RegistrationMachine::created(Answer answer) noexcept {
    const bool may_be_there = answer != Answer::taken;
    there_ += may_be_there ? 1 : 0;
    if (answer != Answer::done || state_ == State::draining) return take_back(there_);
    if (there_ == records_) state_ = State::registered;
}

void RegistrationMachine::removed(Answer answer) noexcept {
    if (answer == Answer::failed) return;
    unconfirmed_ = unconfirmed_ || answer != Answer::done;
    take_back(there_ - 1);
}

}  // namespace stator::discovery
