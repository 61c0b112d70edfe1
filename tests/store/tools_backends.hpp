// The backends that the tests of store tools run on, and what they share.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "stator/store/key_value_store.hpp"
#include "tests/store/party.hpp"
#include "tests/store/store_fixture.hpp"

namespace stator::test {

using StorePtr = std::shared_ptr<store::KeyValueStore>;

struct ToolsBackend {
    std::string name;
    /// What leases and sessions of a store live for, and the shortest that is possible.
    Duration ttl;
    bool has_sessions = true;
    bool any_ttl = true;  ///< sessions may have another one
    /// A party of the store that `place` names, which is new, and what its leases live for.
    std::function<Task<StorePtr>(Loop&, const std::filesystem::path& place, Duration ttl)> open;

    friend void PrintTo(const ToolsBackend& backend, std::ostream* into) { *into << backend.name; }
};

/// Each program of the suite has its own.
const std::vector<ToolsBackend>& tools_backends();

inline std::vector<ToolsBackend> backends_with_sessions(bool wanted) {
    auto backends = tools_backends();
    std::erase_if(backends, [wanted](const auto& item) { return item.has_sessions != wanted; });
    return backends;
}

struct ToolsParty : PartyOf<store::KeyValueStore> {
    ToolsParty(const ToolsBackend& backend, const std::filesystem::path& place)
        : ToolsParty{backend, place, backend.ttl} {}
    ToolsParty(const ToolsBackend& backend, const std::filesystem::path& place, Duration ttl)
        : PartyOf{[&](Loop& loop) { return backend.open(loop, place, ttl); }} {}
};

/// Two parties of one new store.
class StoreTools : public ::testing::TestWithParam<ToolsBackend> {
protected:
    StorePtr a() { return a_.store(); }
    StorePtr b() { return b_.store(); }
    Loops& loops() { return a_.loops(); }
    Duration ttl() const { return GetParam().ttl; }

    TemporaryFolder folder_;
    ToolsParty a_{GetParam(), folder_.path()};
    ToolsParty b_{GetParam(), folder_.path()};
};

/// Waits until `holds()` is true, looking often.
template <class Condition>
Task<> eventually(Condition holds, std::string what) {
    const auto until = Deadline::in(patience);
    while (!co_await holds()) {
        require(!until.passed(), "no sign of " + what);
        co_await sleep_for(5ms);
    }
}

}  // namespace stator::test
