// Publishing a key for as long as something lasts.
#pragma once

#include <memory>
#include <string>

#include "stator/runtime/cancellation_token.hpp"
#include "stator/store/key_value_store.hpp"

namespace stator::store {

/// Writes the key and keeps it there until `token` fires or the store is closed; returns when it is
/// gone again. Where the backend loses it, it is published again, under the same name. Nothing is
/// written when `token` has fired already.
///
/// Errors: those of the first write, and of the removal (the key runs out by itself then).
/// Cancel safety: throws `cancelled` once the key is gone.
Task<> publish_until_cancelled(
    std::shared_ptr<KeyValueStore> store,
    std::string key,
    std::string value,
    CancellationToken token
);

}  // namespace stator::store
