#include "stator/discovery/drained.hpp"

#include <utility>

#include <fmt/format.h>

namespace stator::discovery {

namespace {

std::unexpected<Error> no_mux(std::string_view key) {
    return fail(
        ErrorCode::invalid_request, "instance.missing", fmt::format("{} says no mux address", key)
    );
}

}  // namespace

std::string drained_key(const Instance& instance) {
    const auto key = instance.key();
    return fmt::format("{}{}", drained_prefix, key.substr(instances_bucket.size() + 1));
}

Result<std::string> to_drained_record(Instance instance) {
    if (!instance.mux) return no_mux(instance.key());
    instance.mux->draining = true;
    return to_record(instance);
}

Result<Instance> from_drained_record(std::string_view key, std::string_view record) {
    if (!key.starts_with(drained_prefix)) {
        return fail(
            ErrorCode::invalid_request,
            "instance.key",
            fmt::format("{} is no key of a drained instance", key)
        );
    }
    auto instance = from_record(
        fmt::format("{}/{}", instances_bucket, key.substr(drained_prefix.size())), record
    );
    if (!instance) return instance;
    if (!instance->mux) return no_mux(key);
    instance->mux->draining = true;
    return instance;
}

}  // namespace stator::discovery
