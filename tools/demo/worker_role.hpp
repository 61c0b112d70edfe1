// What one of the demo's worker processes does.
#pragma once

#include <memory>

#include "stator/base/instance_id.hpp"
#include "stator/llm/ngram_model.hpp"

namespace stator::demo {

using llm::NgramModel;

/// Serves the completions until it gets SIGTERM, and drains then. Returns the exit status.
int run_worker(std::shared_ptr<const NgramModel> model, InstanceId id);

}  // namespace stator::demo
