// The backends that a conformance test runs on.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "stator/store/key_value_store.hpp"
#include "tests/store/store_fixture.hpp"

namespace stator::test {

struct Backend {
    std::string name;
    /// A party of the store that `place` names, which is new.
    std::function<
        Task<std::shared_ptr<store::KeyValueStore>>(Loop&, const std::filesystem::path& place)>
        open;
};

/// Each program of the suite has its own.
const std::vector<Backend>& conformance_backends();

}  // namespace stator::test
