// KeyGates: turns for writing keys.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>

#include "stator/runtime/semaphore.hpp"
#include "stator/runtime/task.hpp"

namespace stator::store {

/// A key is written by one task at a time, so that what was written last is what is remembered. As
/// large as the number of keys that are being written. On one loop; outlives its turns' waits.
class KeyGates {
public:
    /// Over when it dies, whatever has become of the gates.
    struct Turn {
        std::shared_ptr<Semaphore> gate;
        Permit permit;  // goes back before the gate goes
    };
    /// First come, first served. Cancel safety: throws `cancelled`, takes no turn.
    Task<Turn> turn_of(std::string key) {
        std::erase_if(gates_, [](const auto& item) { return item.second.expired(); });
        auto& known = gates_[std::move(key)];
        auto gate = known.lock();
        if (!gate) known = gate = std::make_shared<Semaphore>(1);
        auto permit = co_await gate->acquire();
        co_return Turn{std::move(gate), std::move(permit)};
    }

    std::size_t size() const noexcept { return gates_.size(); }

private:
    std::map<std::string, std::weak_ptr<Semaphore>, std::less<>> gates_;
};

}  // namespace stator::store
