// What the conformance suite needs of a request plane.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include "stator/component/distributed_runtime.hpp"
#include "stator/runtime/runtime.hpp"

namespace stator::testing {

/// One cluster whose members reach each other by the plane under test. Made anew for each test.
class Plane {
public:
    Plane() = default;
    Plane(const Plane&) = delete;
    Plane& operator=(const Plane&) = delete;
    virtual ~Plane() = default;

    /// One more process, so to speak: it serves and calls by this plane only.
    virtual Task<DistributedRuntime> join(const Runtime& runtime) = 0;
    /// Bytes that may be on the way in one direction of a call whose receiver takes nothing.
    virtual std::size_t window() const = 0;
    /// Items that may be on the way besides, from a handler that runs elsewhere.
    virtual int items_ahead() const { return 0; }
    /// Bytes of an item that is larger than any window, and allowed.
    virtual std::size_t huge_item() const = 0;
};

/// A kind of plane, as the parameter of a test: its name in letters and digits.
struct PlaneKind {
    std::string name;
    std::function<std::unique_ptr<Plane>()> make;
};

}  // namespace stator::testing
