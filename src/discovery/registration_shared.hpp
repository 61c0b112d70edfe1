// What the handles of a Registration share.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "stator/discovery/registration.hpp"
#include "stator/runtime/event.hpp"
#include "stator/runtime/version_gate.hpp"
#include "stator/store/key_value_store.hpp"

namespace stator::discovery {

/// The state is not kept but seen: our own deletion first, then what the lease says. Thread-safe.
class Registration::Shared {
public:
    Shared(std::shared_ptr<store::KeyValueStore> store, store::Lease lease, Instance instance);

    RegistrationState state() const noexcept;
    std::shared_ptr<const Instance> instance() const;
    void replace(Instance instance);
    /// Removes what has been published so far, the latest first; what cannot be removed within a
    /// moment runs out. Never throws, unless cancelled.
    Task<> take_back();
    /// True for the one who deletes it.
    bool begin_deletion() noexcept;
    bool deleting() const noexcept { return deleting_.load(std::memory_order_acquire); }
    void end_deletion(bool confirmed) noexcept;
    bool confirmed() const noexcept { return confirmed_.load(std::memory_order_acquire); }

    const std::shared_ptr<store::KeyValueStore> store;
    const store::Lease lease;
    const std::string key;  ///< of the instance's own record
    /// Of all its records in the order in which they were published: those of the models first.
    /// Complete before there is a Registration.
    std::vector<std::string> keys;
    Event deletion_ended;
    VersionGate deletion_begun;

private:
    mutable std::mutex lock_;
    std::shared_ptr<const Instance> instance_;
    std::atomic<bool> deleting_{false};
    std::atomic<bool> confirmed_{false};
};

}  // namespace stator::discovery
