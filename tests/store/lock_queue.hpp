// Who holds a lock or waits for it, as the store has it.
#pragma once

#include <string>

#include "tests/store/tools_backends.hpp"

namespace stator::test {

inline Task<std::size_t> waiting(StorePtr store, std::string name) {
    co_return (co_await store->list("v1/locks/" + name + "/")).size();
}

inline Task<> queue_of(StorePtr store, std::string name, std::size_t size) {
    co_await eventually(
        [&](this auto) -> Task<bool> { co_return co_await waiting(store, name) == size; },
        std::to_string(size) + " in the queue"
    );
}

}  // namespace stator::test
