// The demo itself: workers, a client, and what happens to them.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "stator/base/error.hpp"
#include "stator/llm/ngram_model.hpp"
#include "stator/runtime/runtime.hpp"
#include "tools/demo/terminal.hpp"

namespace stator::demo {

using llm::NgramModel;

struct ShowOptions {
    std::size_t requests = 2'000;         ///< at the same time; half as many come later
    std::filesystem::path folder;         ///< for discovery and the workers' logs
    std::optional<std::string> corpus{};  ///< the workers' text, unless it is the usual one
    std::shared_ptr<const NgramModel> model;
};

/// Runs everything and prints it. Returns the exit status: 0 if every finding holds. Ends within a
/// minute, whatever happens, and every process that it started has ended when it returns. Cancel
/// safety: ends the processes, then returns 1.
Task<int> run_show(Runtime runtime, ShowOptions options, Terminal* terminal);

}  // namespace stator::demo
