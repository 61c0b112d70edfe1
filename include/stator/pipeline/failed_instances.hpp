// FailedInstances: who is not to be asked again on behalf of one request.
#pragma once

#include <cstddef>
#include <memory>
#include <mutex>
#include <vector>

#include "stator/base/instance_id.hpp"
#include "stator/pipeline/context.hpp"

namespace stator::inline pipeline {

/// Instances that accepted an attempt at a request and did not bring it to its end. Whoever makes
/// the attempts owns it and gives it to their contexts; routers note instances, and pass over those
/// that are noted. Thread-safe.
class FailedInstances {
public:
    /// That of the request; null: nobody wants to know.
    static std::shared_ptr<FailedInstances> of(const Context& context);
    static void give(const Context& context, std::shared_ptr<FailedInstances> all);

    void add(InstanceId id);
    void clear();
    std::vector<InstanceId> ids() const;
    /// How often one was added.
    std::size_t added() const;

private:
    mutable std::mutex lock_;
    std::vector<InstanceId> ids_;
    std::size_t added_ = 0;
};

}  // namespace stator::inline pipeline
