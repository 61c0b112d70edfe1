// What can be configured, as typed values.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "stator/base/clock.hpp"
#include "stator/base/error.hpp"
#include "stator/base/resource_limits.hpp"
#include "stator/settings/environment.hpp"

namespace stator::settings {

enum class DiscoveryBackend : std::uint8_t { mem, file, etcd };
enum class RequestPlane : std::uint8_t { tcp, nats };
enum class EventPlane : std::uint8_t { zmq, nats };
enum class RequestCodec : std::uint8_t { msgpack, json };
enum class HealthStatus : std::uint8_t { notready, ready };
enum class OnLeaseLost : std::uint8_t { recover, shutdown };
enum class RevokeTime : std::uint8_t { last, immediate };

inline std::size_t core_count() noexcept {
    return std::max(1U, std::thread::hardware_concurrency());
}

struct RuntimeSettings {
    std::size_t num_worker_threads = core_count();
    std::size_t max_blocking_threads = core_count();
    std::size_t secondary_threads = 1;
    /// How long a primary loop without work looks for some before it sleeps; zero: not at all.
    Duration busy_poll{};
    Duration timer_gap = std::chrono::microseconds{200};
    /// Above it, on average, a step of a task keeps its loop from other work for long.
    Duration long_step = std::chrono::microseconds{50};
    std::size_t compute_threads = core_count() / 2;
    std::uint64_t compute_stack_size = std::uint64_t{2} << 20U;
    std::string compute_thread_prefix = "compute";
    /// A step of a task that holds its loop for longer is reported; zero: none is.
    Duration stall_threshold = std::chrono::seconds{1};
};

struct WorkerSettings {
    /// From the request to end until the process is gone.
    Duration graceful_shutdown_timeout = std::chrono::seconds{30};
    /// How long requests are still taken after the records are deleted.
    Duration settle_time = std::chrono::seconds{1};
    /// Others may drain and resume what is served here.
    bool remote_control = false;
    /// What a process does whose lease was dropped, or not renewed for as long as it lasts.
    OnLeaseLost on_lease_lost = OnLeaseLost::recover;
    /// When a process that ends revokes its lease: after its requests, or before anything else.
    RevokeTime revoke = RevokeTime::last;
    /// The soft limit of descriptors is raised to it; 0: left as it is.
    std::uint64_t descriptor_limit = std::uint64_t{1} << 20U;
};

/// The status server.
struct SystemSettings {
    std::string host = "0.0.0.0";
    std::int32_t port = -1;  ///< -1: no server, 0: any free port
    HealthStatus starting_health_status = HealthStatus::notready;
    std::string health_path = "/health";
    std::string live_path = "/live";
    /// Whose health decides, by endpoint name; empty: all.
    std::vector<std::string> use_endpoint_health_status;
    /// A primary loop held for longer makes the process not live; zero: never.
    Duration live_stall{};
    bool tls = false;  ///< with the certificate of TlsSettings
};

/// Probes of idle endpoints.
struct HealthSettings {
    bool canaries = false;
    Duration canary_wait = std::chrono::seconds{10};
    Duration request_timeout = std::chrono::seconds{3};
    Duration stream_timeout = std::chrono::seconds{30};
    Duration busy_stall = std::chrono::seconds{60};
    bool canary_withdraw = false;
};

struct DiscoverySettings {
    DiscoveryBackend backend = DiscoveryBackend::file;
    std::string file_root;  ///< never empty after `load`
};

struct EtcdSettings {
    std::vector<std::string> endpoints{"http://localhost:2379"};
    std::string auth_username;
    std::string auth_password;
    std::string auth_ca;  ///< PEM texts, or files that hold them
    std::string auth_client_cert;
    std::string auth_client_key;
    Duration lease_ttl = std::chrono::seconds{30};
    Duration startup_connect_timeout = std::chrono::seconds{120};
    Duration call_timeout = std::chrono::seconds{5};
    Duration keepalive_interval = std::chrono::seconds{15};
    Duration keepalive_timeout = std::chrono::seconds{10};
    std::string module;  ///< the file that speaks with etcd; empty: looked for
};

struct NatsSettings {
    std::string server = "nats://localhost:4222";  ///< several with commas between them
    std::string auth_username;
    std::string auth_password;
    std::string auth_token;
    std::string auth_nkey;  ///< a seed
    std::string auth_credentials_file;
    std::string tls_ca_cert_path;
    std::string tls_client_cert_path;
    std::string tls_client_key_path;
    bool tls_insecure = false;
    Duration startup_connect_timeout = std::chrono::seconds{120};
    Duration request_timeout{};  ///< zero: the client's own
    std::string module;          ///< the file that speaks with NATS; empty: looked for
};

struct RequestSettings {
    RequestPlane plane = RequestPlane::tcp;
    RequestCodec codec = RequestCodec::msgpack;
};

struct EventSettings {
    EventPlane plane = EventPlane::zmq;
    std::string host;    ///< what publishers over ZeroMQ are found at; empty: what they bind
    std::string module;  ///< the file that speaks ZeroMQ; empty: looked for
};

/// The request port. Empty host: chosen by the discovery backend; port 0: any free one, and
/// published as bound.
struct TcpSettings {
    std::string host;
    std::uint16_t port = 0;
    std::string advertise_host;
    std::uint16_t advertise_port = 0;
    std::uint64_t max_message_size = std::uint64_t{32} << 20U;
    Duration connect_timeout = std::chrono::seconds{5};
    Duration request_timeout = std::chrono::seconds{5};
    /// Where workers of the Dynamo plane connect to answer; empty and 0 as above.
    std::string response_host;
    std::uint16_t response_port = 0;
    std::string response_advertise_host;
    std::uint16_t response_advertise_port = 0;
    Duration call_home_timeout = std::chrono::seconds{60};
    Duration prologue_timeout = std::chrono::seconds{60};
};

/// TLS of everything that the request planes listen on and dial; docs/tls.md. Empty: not used.
struct TlsSettings {
    std::string cert_path;            ///< what we show to those who dial us, with its chain
    std::string key_path;             ///< of cert_path
    std::string client_ca_cert_path;  ///< those who dial us must have a certificate of these
    std::string ca_cert_path;         ///< what we dial must have a certificate of these
    std::string client_cert_path;     ///< what we show to those whom we dial
    std::string client_key_path;      ///< of client_cert_path
    std::string server_name;          ///< looked for in their certificates instead of the address
    bool insecure = false;            ///< those whom we dial may show any certificate
    Duration handshake_timeout = std::chrono::seconds{3};
};

/// The native plane; docs/protocol/mux.md explains them.
struct MuxSettings {
    std::uint32_t stream_window = 256U << 10U;
    std::uint32_t least_stream_window = 16U << 10U;
    std::uint32_t most_stream_window = 512U << 10U;
    std::uint64_t connection_window = std::uint64_t{16} << 20U;
    std::uint64_t memory_limit = std::uint64_t{128} << 20U;
    /// What all connections may hold together.
    std::uint64_t process_memory_limit = std::uint64_t{2} << 30U;
    std::uint64_t large_message_budget = std::uint64_t{128} << 20U;
    std::uint64_t max_message_size = std::uint64_t{64} << 20U;
    std::uint32_t max_frame_size = 1U << 20U;
    std::uint32_t max_streams = 131'072;
    Duration ping_after = std::chrono::seconds{1};
    Duration suspect_after = std::chrono::seconds{4};
    Duration lost_after = std::chrono::seconds{30};
};

struct LoggingSettings {
    std::string filter = "info";  ///< as DYN_LOG; checked by observe
    bool jsonl = false;
    bool ansi = true;  ///< colours, if stderr is a terminal
    bool local_time = false;
    bool span_events = false;      ///< lines of their own for requests that are served
    std::string otlp_endpoint;     ///< where lines are sent to, by OTLP/HTTP; empty: nowhere
    std::string otlp_certificate;  ///< of the authority of an https one
    std::string service_name = "dynamo";
};

/// All of it: a plain value. A default one holds the built-in defaults; `load` adds files and
/// environment.
struct Settings {
    RuntimeSettings runtime;
    WorkerSettings worker;
    SystemSettings system;
    HealthSettings health;
    DiscoverySettings discovery;
    EtcdSettings etcd;
    NatsSettings nats;
    RequestSettings request;
    EventSettings event;
    TcpSettings tcp;
    TlsSettings tls;
    MuxSettings mux;
    LoggingSettings logging;

    /// Where each setting that is not a built-in default comes from, by name.
    std::map<std::string, std::string, std::less<>> sources;

    /// "default", "/opt/dynamo/etc/runtime.toml:3" or "environment DYN_SYSTEM_PORT".
    std::string_view source_of(std::string_view name) const noexcept;
};

/// One setting with its value, as `stator config` shows it.
struct Entry {
    std::string_view name;
    std::string value;
    std::string source;
    std::string_view description;
};

/// Every setting, in the order of the table.
std::vector<Entry> entries(const Settings& settings);

/// One line for the log: each setting that is not its default, with its source; secrets hidden.
std::string summary(const Settings& settings);

/// The table of all settings as Markdown: name, variable, type and bounds, default, meaning.
std::string reference_table();

/// Built-in defaults, then `$DYN_CONFIG_ROOT/defaults/*.toml`, then `$DYN_CONFIG_ROOT/etc/*.toml`
/// (both by name; the root is /opt/dynamo unless set), then the variables; empty variables count as
/// unset. `logging.toml` and
/// `$DYN_LOGGING_CONFIG_PATH` hold logging settings only.
///
/// Fails with invalid_request: "settings.unknown_key" (names file, line and the nearest key),
/// "settings.value" (names source, key, value and what is expected), "settings.file" (unreadable or
/// no TOML). `limits` lowers the defaults of what grows with the machine. An unknown DYN_ variable
/// is reported to the sink once, as a warning. Blocks on file reads; called once, at start.
Result<Settings> load(const Environment& environment, const ResourceLimits& limits = {});

/// The same from this process's environment and control group.
Result<Settings> load_from_process();

}  // namespace stator::settings
