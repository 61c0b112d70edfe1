#include "cli/instances.hpp"

#include <chrono>
#include <string>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "stator/store/file_store.hpp"

namespace stator::cli {

namespace {

constexpr Duration first_instance_wait = std::chrono::seconds{5};

std::string where(const DistributedConfig& config) {
    if (config.discovery == DiscoveryBackend::memory) return "in this process's memory";
    if (config.discovery == DiscoveryBackend::etcd)
        return fmt::format("in etcd at {}", fmt::join(config.etcd.endpoints, ","));
    const auto root =
        config.file_root.empty() ? store::FileStore::default_root().string() : config.file_root;
    return fmt::format("in the discovery folder {}", root);
}

}  // namespace

Task<Client> client_with_instances(
    DistributedRuntime cluster, EndpointId endpoint, Deadline deadline
) {
    auto client = co_await cluster.endpoint(std::move(endpoint)).client();
    const auto until = earliest(deadline, Deadline::in(first_instance_wait));
    const auto found = co_await as_result(client.wait_for_instances(until));
    if (found) co_return client;
    throw found.error().with_context(
        fmt::format("looking {} for an instance to call", where(cluster.config()))
    );
}

}  // namespace stator::cli
