// Finds and loads the module that speaks with etcd.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "stator/base/error.hpp"
#include "store/etcd/wire.hpp"

namespace stator::store::etcd {

/// Makes a Wire; what tests replace.
using Dial = std::function<std::unique_ptr<Wire>(const WireOptions&)>;

/// Loads it, once per process and for good; some 20 ms. `file` empty: from the first place that has
/// one. Errors: unimplemented "store.module" naming what was tried.
Result<Dial> load_module(const std::string& file);

}  // namespace stator::store::etcd
