// What the conformance suite needs of a request plane.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "stator/component/distributed_runtime.hpp"
#include "stator/component/router.hpp"
#include "stator/runtime/runtime.hpp"

namespace stator::testing {

/// One cluster whose members reach each other by the plane under test. Made anew for each test.
class Plane {
public:
    Plane() = default;
    Plane(const Plane&) = delete;
    Plane& operator=(const Plane&) = delete;
    virtual ~Plane() = default;

    /// One more process, so to speak (or the same, see one_member): it serves and calls by this
    /// plane only.
    virtual Task<DistributedRuntime> join(const Runtime& runtime) = 0;
    /// Bytes that may be on the way in one direction of a call whose receiver takes nothing.
    virtual std::size_t window() const = 0;
    /// Items that may be on the way besides, from a handler that runs elsewhere.
    virtual int items_ahead() const { return 0; }
    /// Worker and caller are one member: what ends one ends the other, in order.
    virtual bool one_member() const { return false; }
    /// Bytes of an item that is larger than any window, and allowed.
    virtual std::size_t huge_item() const = 0;
    /// By what calls are forced to go.
    virtual stator::Plane calls_by() const { return stator::Plane::mux; }
    /// Bytes of an item that is too large.
    virtual std::size_t too_large_item() const { return huge_item() + 1024; }
    /// Whether a worker may see its call stopped or killed for `seen` when it was for `reason`.
    virtual bool tells(CancelReason reason, CancelReason seen) const { return seen == reason; }
    /// What a caller sees when the worker leaves the cluster under it.
    virtual ErrorCode worker_gone() const { return ErrorCode::disconnected; }
    /// Whether one that has refused a call for want of room gets no other for a moment.
    virtual bool passes_over_the_full() const { return false; }
    /// Why a test cannot be run here; empty: it can.
    virtual std::string_view excludes(std::string_view) const { return {}; }
};

/// A kind of plane, as the parameter of a test: its name in letters and digits.
struct PlaneKind {
    std::string name;
    std::function<std::unique_ptr<Plane>()> make;
};

}  // namespace stator::testing
