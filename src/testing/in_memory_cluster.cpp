#include "stator/testing/in_memory_cluster.hpp"

#include "stator/base/random.hpp"

namespace stator::testing {

InMemoryCluster::InMemoryCluster(Options options)
    : limit_{options.limit},
      store_{std::to_string(os_random())},
      runtime_{Runtime::create(
          {.primary_threads = options.threads, .graceful_timeout = options.graceful_timeout}
      )} {}

InMemoryCluster::~InMemoryCluster() { runtime_.stop(); }

Task<DistributedRuntime> InMemoryCluster::join() const {
    DistributedConfig config;
    config.discovery = DiscoveryBackend::memory;
    config.memory_name = store_;
    return DistributedRuntime::connect(runtime_, std::move(config));
}

}  // namespace stator::testing
