// A worker that registers models, with the options and the report of peers/chat_worker.py.
#pragma once

#include <string>
#include <vector>

#include "stator/runtime/runtime.hpp"

namespace stator::interop {

/// Names of models of each kind; each is served at dyn.<model>.generate.
struct ModelOptions {
    std::vector<std::string> chat;  ///< and completions
    std::vector<std::string> embeddings;
    std::vector<std::string> realtime;
    unsigned max_inflight = 0;  ///< of each chat model; 0: no limit
    unsigned context_length = 0;
};

/// Serves them until the process is asked to end.
Task<> run_models(Runtime runtime, ModelOptions options);

}  // namespace stator::interop
