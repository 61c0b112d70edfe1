// RegistrationMachine: where the records of one instance stand. Pure: no store, no clock, no tasks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "stator/discovery/registration.hpp"
#include "stator/store/lease.hpp"

namespace stator::discovery {

/// Says which record is written or taken back next, and is told what became of it. The records are
/// numbered in the order in which they are published; they are taken back the other way round.
///
///     unregistered -> registering -> registered <-> recovering -> draining -> gone
///
/// A step of publishing that fails begins `draining`, too: what may be there is taken back, with
/// the record of that step, since an answer that was lost does not say that nothing was written.
/// One that another owner holds is left alone. The end of the lease leads to `gone` from wherever
/// records are: it has taken them along.
///
/// One owner at a time.
class RegistrationMachine {
public:
    explicit RegistrationMachine(std::size_t records) noexcept : records_{records} {}

    RegistrationState state() const noexcept { return state_; }
    /// Once it is `gone`: no record of ours is left, as far as the store has said.
    bool confirmed() const noexcept { return !unconfirmed_ || swept_; }

    /// False if it was begun before.
    bool publish() noexcept;
    /// True for whoever begins it.
    bool withdraw() noexcept;
    /// `taken`: another owner holds one of the records.
    void lease_is(store::LeaseState lease, bool taken) noexcept;

    enum class Action : std::uint8_t { none, create, remove };
    /// The record that is to be created or removed next, if that is the next step; nothing while
    /// one is under way.
    std::optional<std::size_t> take(Action wanted) noexcept;

    enum class Answer : std::uint8_t {
        done = 1,  ///< it is there, or is not there any more
        taken,     ///< of a creation: another owner's
        failed,    ///< nobody knows; a removal is tried again
        given_up,  ///< of a removal: it runs out by itself
    };
    void answered(Answer answer) noexcept;

private:
    void created(Answer answer) noexcept;
    void removed(Answer answer) noexcept;
    void take_back(std::size_t records) noexcept;

    const std::size_t records_;
    RegistrationState state_ = RegistrationState::unregistered;
    Action under_way_ = Action::none;
    std::size_t there_ = 0;  // records that are, or may be, there: the first ones
    bool unconfirmed_ = false;
    bool swept_ = false;  // the lease has ended
};

}  // namespace stator::discovery
