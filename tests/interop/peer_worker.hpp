// A worker whose requests say what becomes of them, with the report of peers/worker.py.
#pragma once

#include <string>

#include "stator/codec/payload_codec.hpp"
#include "stator/runtime/runtime.hpp"

namespace stator::interop {

struct WorkerOptions {
    std::string component;  ///< namespace.component
    PayloadCodec codec{};   ///< what it asks callers for
};

/// Serves `<component>.generate` and `<component>.converse` until the process is asked to end.
Task<> run_worker(Runtime runtime, WorkerOptions options);

}  // namespace stator::interop
