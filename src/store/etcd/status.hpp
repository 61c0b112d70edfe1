// What a status of etcd means for whoever called.
#pragma once

#include <cstdint>

#include "stator/base/error.hpp"
#include "store/etcd/wire.hpp"

namespace stator::store::etcd {

struct Failure {
    enum class Kind : std::uint8_t {
        refused = 1,   ///< The answer is no, from whichever member.
        not_done = 2,  ///< This member cannot; nothing was done. Another one may.
        unknown = 3,   ///< The same, and it may have been done.
        token = 4,     ///< The token is not valid any more.
        no_auth = 5,   ///< The cluster asks nobody who he is.
    };
    Kind kind;
    Error error;
};

/// `status` is none of success. The details are listed in docs/etcd.md.
Failure failure_of(const Status& status);

}  // namespace stator::store::etcd
