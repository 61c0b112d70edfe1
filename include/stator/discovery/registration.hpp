// Registration: one published instance.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "stator/base/deadline.hpp"
#include "stator/discovery/instance.hpp"
#include "stator/runtime/task.hpp"
#include "stator/store/lease.hpp"

namespace stator::discovery {

/// unregistered -> registering -> registered <-> recovering -> draining -> gone; `gone` is the end.
enum class RegistrationState : std::uint8_t {
    unregistered = 1,
    registering,  ///< its records are being written
    registered,   ///< the store has the records, as far as is known
    recovering,   ///< the store lost a record or cannot be reached, or somebody else holds one
    draining,     ///< its records are being taken back
    gone,         ///< taken back by us, never published, or its lease has ended
};

inline constexpr std::size_t registration_states = 6;
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

    /// Writes the records, each in its turn; once. A record that is there is taken over if this
    /// process has written it, under this lease or under the one before; another's never. Errors:
    /// already_exists "registration.exists", invalid_request "registration.deleted" (withdrawn
    /// meanwhile), the store's; what was written is taken back before they are thrown. Cancel
    /// safety: throws `cancelled`, with the same effect.
    Task<> publish() const;
    /// Publishes a changed record of the same instance, e.g. one that says draining. Errors: those
    /// of `publish`, also if another holds it by now; invalid_request "registration.identity" for
    /// another id or endpoint. Cancel safety: throws `cancelled`; the change may have happened.
    Task<> update(Instance changed) const;
    /// Removes the record, then those of its models, unless they are another's by now: `draining`
    /// from the call on. True once that is confirmed; false when `deadline` came first: it is
    /// `gone` all the same, and nothing keeps the record alive any more. Idempotent; errors of the
    /// store are tried again. Cancel safety: throws `cancelled`, with the same effect.
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
