// The store that `stator kv`, `stator lock` and `stator barrier` work on: discovery's, or a bucket.
#pragma once

#include <functional>
#include <memory>
#include <optional>

#include "cli/exit_status.hpp"
#include "cli/frame.hpp"
#include "cli/store_options.hpp"
#include "stator/store/key_value_store.hpp"

namespace stator::cli {

struct ChosenStore {
    Runtime runtime;
    std::shared_ptr<store::KeyValueStore> store;
    /// Writes a key that stays; the revision. Empty where there are no such keys.
    std::function<Task<std::uint64_t>(std::string key, std::string value)> put_lasting{};
};

using StoreWork = std::move_only_function<Task<std::optional<Failure>>(ChosenStore)>;

/// As run_in_cluster, with the store that was chosen.
int run_with_store(const StoreChoice& choice, Manners manners, StoreWork work);

}  // namespace stator::cli
