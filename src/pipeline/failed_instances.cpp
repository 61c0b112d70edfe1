#include "stator/pipeline/failed_instances.hpp"

#include <algorithm>
#include <utility>

namespace stator::inline pipeline {

namespace {

constexpr auto key = "pipeline.failed_instances";
using Shared = std::shared_ptr<FailedInstances>;

}  // namespace

Shared FailedInstances::of(const Context& context) {
    const auto found = context.get_if<Shared>(key);
    return found ? *found : nullptr;
}

void FailedInstances::give(const Context& context, Shared all) {
    context.insert(key, std::move(all));
}

void FailedInstances::add(InstanceId id) {
    const std::lock_guard guard{lock_};
    ++added_;
    if (std::ranges::find(ids_, id) == ids_.end()) ids_.push_back(id);
}

void FailedInstances::clear() {
    const std::lock_guard guard{lock_};
    ids_.clear();
}

std::vector<InstanceId> FailedInstances::ids() const {
    const std::lock_guard guard{lock_};
    return ids_;
}

std::size_t FailedInstances::added() const {
    const std::lock_guard guard{lock_};
    return added_;
}

}  // namespace stator::inline pipeline
