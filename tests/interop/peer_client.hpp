// A client that is told by lines of JSON on stdin what to call, with the report of peers/client.py.
#pragma once

#include <string>

#include "stator/component/router.hpp"
#include "stator/runtime/runtime.hpp"

namespace stator::interop {

struct ClientOptions {
    CallOptions call{};  ///< codec and plane of every call
};

/// Makes the calls until stdin ends and all are over.
Task<> run_client(Runtime runtime, ClientOptions options);

}  // namespace stator::interop
