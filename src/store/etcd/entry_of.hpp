// What a key of etcd is to those who use a store.
#pragma once

#include <cstdint>
#include <utility>

#include "stator/store/entry.hpp"
#include "stator/store/etcd_transaction.hpp"

namespace stator::store::etcd {

inline Entry entry_of(EtcdEntry from) {
    return {
        .key = std::move(from.key),
        .value = std::move(from.value),
        .revision = static_cast<std::uint64_t>(from.mod_revision),
        .created = static_cast<std::uint64_t>(from.create_revision),
    };
}

}  // namespace stator::store::etcd
