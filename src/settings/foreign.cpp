// Names that Dynamo understands and stator has no use for, so that a shared configuration is not
// refused.
#include <algorithm>
#include <array>

#include "settings/table.hpp"

namespace stator::settings {

namespace {

// Fields of Dynamo's runtime.toml.
constexpr std::array<std::string_view, 1> foreign_keys{
    "system_enabled",
};

// A name that ends with _ stands for all that begin with it.
constexpr std::array foreign_variables = std::to_array<std::string_view>({
    "DYN_COMPUTE_PIN_THREADS",
    "DYN_DUMP_CONFIG_TO",
    "DYN_DYNAMO_REQUEST_QUEUE_",
    "DYN_ENABLE_",
    "DYN_ENCODER_CUDA_TO_CPU_RATIO",
    "DYN_ENDPOINT",
    "DYN_ENGINE_REQUEST_LIMIT",
    "DYN_EVENT_PLANE_CODEC",
    "DYN_HEALTH_CHECK_PAYLOAD",
    "DYN_HTTP_",
    "DYN_HTTP2_",
    "DYN_INHIBITED_DURATION_SECS",
    "DYN_KUBE_DISCOVERY_MODE",
    "DYN_LIFECYCLE_TRACE_",
    "DYN_LOGGING_CONSOLE_FORMAT",
    "DYN_LORA_ENABLED",
    "DYN_NAMESPACE",
    "DYN_NAMESPACE_PREFIX_STRICT",
    "DYN_NAMESPACE_WORKER_SUFFIX",
    "DYN_NATS_STREAM_",
    "DYN_QUEUED_UP_PROCESSING",
    "DYN_QUIC_",
    "DYN_RESPONSE_PLANE",
    "DYN_ROUTER_",
    "DYN_RUNTIME_GRACEFUL_SHUTDOWN_TIMEOUT_SECS",
    "DYN_RUNTIME_INHIBITED_DURATION_SECS",
    "DYN_SOAK_",
    "DYN_SYSTEM_ENABLED",
    "DYN_TCP_CHANNEL_BUFFER",
    "DYN_TCP_GLOBAL_CONNECT_LIMIT",
    "DYN_TCP_HOST_IDLE_TTL_SECS",
    "DYN_TCP_LATENCY_TRACE",
    "DYN_TCP_LISTEN_BACKLOG",
    "DYN_TCP_POOL_SIZE",
    "DYN_TCP_RESPONSE_BATCH_",
    "DYN_TCP_SHRINK_MESSAGE_SIZE",
    "DYN_TCP_WORKER_POOL_SIZE",
    "DYN_TCP_WORK_QUEUE_SIZE",
    "DYN_WORKER_SHUTDOWN_",
    "DYN_ZMQ_",
});

}  // namespace

bool is_foreign_variable(std::string_view name) noexcept {
    return std::ranges::any_of(foreign_variables, [name](std::string_view known) {
        return known.ends_with('_') ? name.starts_with(known) : name == known;
    });
}

bool is_foreign_key(std::string_view name) noexcept {
    return std::ranges::find(foreign_keys, name) != foreign_keys.end();
}

}  // namespace stator::settings
