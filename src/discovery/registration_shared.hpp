// What the handles of a Registration share.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "discovery/registration_machine.hpp"
#include "stator/runtime/event.hpp"
#include "stator/runtime/version_gate.hpp"
#include "stator/store/key_value_store.hpp"

namespace stator::discovery {

/// A key and its value.
using Record = std::pair<std::string, std::string>;

/// The machine, and the store that it drives. What the lease says is told to the machine whenever
/// somebody asks for the state. Thread-safe.
class Registration::Shared {
public:
    /// `records`: the instance's own is the last; it takes the place of `instead_of`.
    Shared(
        std::shared_ptr<store::KeyValueStore> store,
        store::Lease lease,
        Instance instance,
        std::vector<Record> records,
        std::string instead_of
    );

    RegistrationState state();
    bool confirmed();
    std::shared_ptr<const Instance> instance() const;
    void replace(Instance instance, std::string record);

    /// Writes record after record until all are there, one fails or somebody withdraws. Throws what
    /// failed; what is to be taken back then has been, as far as it could within a moment.
    Task<> publish();
    /// For whoever begins it, or for nobody while a record is being written: who writes it takes
    /// all of them back. False if somebody else does.
    bool begin_withdrawal(Deadline deadline);
    /// Takes back what is there; each is tried once, even when time is up or the caller is
    /// cancelled.
    Task<> take_back(Deadline deadline);

    const std::shared_ptr<store::KeyValueStore> store;
    const store::Lease lease;
    const std::string key;  ///< of the instance's own record
    VersionGate changes;    ///< of the machine; the lease has its own
    Event ended;            ///< it is gone

private:
    std::optional<std::size_t> take(RegistrationMachine::Action wanted);
    void answered(RegistrationMachine::Answer answer);
    void look_at_lease_locked();
    Record record(std::size_t index) const;
    Task<bool> write(Record record);
    Task<RegistrationMachine::Answer> create(std::size_t index, std::optional<Error>* failure);
    Task<RegistrationMachine::Answer> remove(std::size_t index, Deadline deadline);

    const std::string instead_of_;  // may be empty
    mutable std::mutex lock_;
    RegistrationMachine machine_;
    std::vector<Record> records_;
    std::shared_ptr<const Instance> instance_;
    Deadline withdraw_by_;  // of who withdrew while a record was being written
};

}  // namespace stator::discovery
