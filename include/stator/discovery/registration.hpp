// Registration: one published instance.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "stator/base/deadline.hpp"
#include "stator/discovery/instance.hpp"
#include "stator/runtime/task.hpp"
#include "stator/store/lease.hpp"

namespace stator::discovery {

/// registered <-> recovering -> deleted; `deleted` is the end.
enum class RegistrationState : std::uint8_t {
    registered = 1,  ///< the store has the record, as far as is known
    recovering = 2,  ///< the store lost the record or cannot be reached; being published again
    deleted = 3,     ///< taken back by us, or its lease has ended
};

std::string_view to_string(RegistrationState state) noexcept;

/// A cheap copyable handle; thread-safe. The records are published as long as its lease lives and
/// nobody called `unpublish`; dropping the handle changes nothing. Losing the store is a state,
/// never an end: identity is in the record, liveness in the lease.
class Registration {
public:
    Registration() noexcept = default;
    explicit operator bool() const noexcept { return shared_ != nullptr; }

    RegistrationState state() const noexcept;
    std::shared_ptr<const Instance> instance() const;
    std::string key() const;

    /// Publishes a changed record of the same instance, e.g. one that says draining.
    /// Errors: the store's; invalid_request "registration.identity" for another id or endpoint,
    /// "registration.deleted". Cancel safety: throws `cancelled`; the change may have happened.
    Task<> update(Instance changed) const;
    /// Removes the record, then those of its models. True once that is confirmed; false when
    /// `deadline` came first: the state is `deleted` all the same, and nothing keeps the record
    /// alive any more. Idempotent; errors of the store are tried again. Cancel safety: throws
    /// `cancelled`, with the same effect.
    Task<bool> unpublish(Deadline deadline) const;
    /// The state, once it is another one than `seen`. Cancel safety: throws `cancelled`.
    Task<RegistrationState> wait_for_change(RegistrationState seen) const;

    class Shared;  // for discovery itself

private:
    friend class Discovery;
    explicit Registration(std::shared_ptr<Shared> shared) noexcept : shared_{std::move(shared)} {}
    std::shared_ptr<Shared> shared_;
};

}  // namespace stator::discovery
