// What the handles of one registration share with the task that follows its lease.
#pragma once

#include <memory>
#include <mutex>
#include <string>

#include "stator/discovery/registration.hpp"
#include "stator/runtime/version_gate.hpp"
#include "stator/store/key_value_store.hpp"

namespace stator::discovery {

struct Registration::Shared {
    Shared(
        std::shared_ptr<store::KeyValueStore> store_,
        store::Lease lease_,
        std::shared_ptr<const Instance> instance_
    )
        : store{std::move(store_)},
          lease{std::move(lease_)},
          key{instance_->key()},
          instance{std::move(instance_)} {}

    RegistrationState get() const {
        const std::lock_guard guard{lock};
        return state;
    }
    /// `deleted` is the end. True when the state has changed.
    bool set(RegistrationState next) {
        {
            const std::lock_guard guard{lock};
            if (state == next || state == RegistrationState::deleted) return false;
            state = next;
        }
        changed.advance();
        return true;
    }

    const std::shared_ptr<store::KeyValueStore> store;
    const store::Lease lease;
    const std::string key;
    mutable std::mutex lock;  // guards what follows
    std::shared_ptr<const Instance> instance;
    RegistrationState state = RegistrationState::registering;
    bool removal_confirmed = false;
    VersionGate changed;
};

}  // namespace stator::discovery
