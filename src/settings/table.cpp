#include "settings/table.hpp"

#include <chrono>

namespace stator::settings {

namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t kib = 1024;
constexpr std::uint64_t mib = 1024 * kib;
constexpr std::uint64_t gib = 1024 * mib;
constexpr Duration day = 24h;

bool is_host(std::string_view text) { return text.find_first_of(" \t/") == std::string_view::npos; }
bool is_path(std::string_view text) { return !text.empty(); }
bool is_route(std::string_view text) {
    return text.starts_with('/') && text.find_first_of(" ?#") == text.npos;
}
bool is_http_url(std::string_view text) {
    return text.starts_with("http://") || text.starts_with("https://");
}
bool is_endpoint_name(std::string_view text) {
    return !text.empty() && text.find_first_of(" \t/\"'[]") == text.npos;
}

constexpr auto host_text = "a host name or address, a network interface, or nothing";
constexpr auto route_text = "a path that starts with /";

void add_runtime_keys(std::vector<Key>& keys) {
    const auto cores = "number of cores";
    keys.push_back(
        {"runtime.num_worker_threads",
         "num_worker_threads",
         {"DYN_RUNTIME_NUM_WORKER_THREADS"},
         integer([](auto& s) -> auto& { return s.runtime.num_worker_threads; }, 1, 4096),
         cores,
         "Loops of the primary pool, which serve requests and run the application."}
    );
    keys.push_back(
        {"runtime.max_blocking_threads",
         "max_blocking_threads",
         {"DYN_RUNTIME_MAX_BLOCKING_THREADS"},
         integer([](auto& s) -> auto& { return s.runtime.max_blocking_threads; }, 1, 4096),
         cores,
         "Threads for calls that block."}
    );
    keys.push_back(
        {"runtime.secondary_threads",
         "",
         {"DYN_RUNTIME_SECONDARY_THREADS"},
         integer([](auto& s) -> auto& { return s.runtime.secondary_threads; }, 1, 64),
         "",
         "Loops of the secondary pool, which keeps leases, watches and health apart from the load."}
    );
}

void add_loop_keys(std::vector<Key>& keys) {
    keys.push_back(
        {"runtime.busy_poll",
         "",
         {"DYN_RUNTIME_BUSY_POLL"},
         duration([](auto& s) -> auto& { return s.runtime.busy_poll; }, 0s, 10ms),
         "",
         "How long a loop of the primary pool looks for work before it sleeps, while that pays; "
         "0 is never."}
    );
    keys.push_back(
        {"runtime.timer_gap",
         "",
         {"DYN_RUNTIME_TIMER_GAP"},
         duration([](auto& s) -> auto& { return s.runtime.timer_gap; }, 0s, 10ms),
         "",
         "How soon after timers were due a loop wakes up for others: dense ones are that much "
         "later "
         "at most, and share a wake-up; 0 is at once."}
    );
    keys.push_back(
        {"runtime.long_step",
         "",
         {"DYN_RUNTIME_LONG_STEP"},
         duration([](auto& s) -> auto& { return s.runtime.long_step; }, 0s, day),
         "",
         "While tasks hold their connection's loop longer than this at a time, on average, "
         "requests "
         "begin on a loop of the primary pool that has less to do."}
    );
}

void add_compute_keys(std::vector<Key>& keys) {
    keys.push_back(
        {"runtime.compute_threads",
         "compute_threads",
         {"DYN_COMPUTE_THREADS"},
         integer([](auto& s) -> auto& { return s.runtime.compute_threads; }, 0, 4096),
         "half the number of cores",
         "Threads for computation, at most; 0: it goes to those for calls that block."}
    );
    keys.push_back(
        {"runtime.compute_stack_size",
         "compute_stack_size",
         {"DYN_COMPUTE_STACK_SIZE"},
         size([](auto& s) -> auto& { return s.runtime.compute_stack_size; }, 64 * kib, gib),
         "",
         "Stack of each of them."}
    );
    keys.push_back(
        {"runtime.compute_thread_prefix",
         "compute_thread_prefix",
         {"DYN_COMPUTE_THREAD_PREFIX"},
         text(
             [](auto& s) -> auto& { return s.runtime.compute_thread_prefix; },
             "a name",
             [](std::string_view name) { return !name.empty(); }
         ),
         "",
         "Their name, as the system shows it (15 characters)."}
    );
}

void add_stall_keys(std::vector<Key>& keys) {
    keys.push_back(
        {"runtime.stall_threshold",
         "",
         {"DYN_RUNTIME_STALL_THRESHOLD"},
         duration([](auto& s) -> auto& { return s.runtime.stall_threshold; }, 0s, day),
         "",
         "A step of a task that holds its loop for longer is counted and reported, with its stack; "
         "0 "
         "is never."}
    );
}

void add_worker_keys(std::vector<Key>& keys) {
    keys.push_back(
        {"worker.graceful_shutdown_timeout",
         "graceful_shutdown_timeout",
         {"DYN_WORKER_GRACEFUL_SHUTDOWN_TIMEOUT"},
         duration([](auto& s) -> auto& { return s.worker.graceful_shutdown_timeout; }, 0s, day),
         "",
         "From the request to end until the process is gone; all phases share it."}
    );
    keys.push_back(
        {"worker.settle_time",
         "",
         {"DYN_WORKER_SETTLE_TIME", "DYN_GRACEFUL_SHUTDOWN_GRACE_PERIOD_SECS"},
         duration([](auto& s) -> auto& { return s.worker.settle_time; }, 0s, day),
         "",
         "How long requests are still taken after the records are deleted."}
    );
}

void add_system_keys(std::vector<Key>& keys) {
    keys.push_back(
        {"system.host",
         "system_host",
         {"DYN_SYSTEM_HOST"},
         text([](auto& s) -> auto& { return s.system.host; }, host_text, is_host),
         "",
         "Where the status server listens."}
    );
    keys.push_back(
        {"system.port",
         "system_port",
         {"DYN_SYSTEM_PORT"},
         integer([](auto& s) -> auto& { return s.system.port; }, -1, 65535),
         "",
         "Port of the status server; 0: any free one, -1: no server."}
    );
    keys.push_back(
        {"system.starting_health_status",
         "starting_health_status",
         {"DYN_SYSTEM_STARTING_HEALTH_STATUS"},
         choice(
             [](auto& s) -> auto& { return s.system.starting_health_status; },
             std::array<std::string_view, 2>{"notready", "ready"}
         ),
         "",
         "Health until an endpoint says otherwise."}
    );
    keys.push_back(
        {"system.health_path",
         "system_health_path",
         {"DYN_SYSTEM_HEALTH_PATH"},
         text([](auto& s) -> auto& { return s.system.health_path; }, route_text, is_route),
         "",
         "Route of the readiness probe."}
    );
    keys.push_back(
        {"system.live_path",
         "system_live_path",
         {"DYN_SYSTEM_LIVE_PATH"},
         text([](auto& s) -> auto& { return s.system.live_path; }, route_text, is_route),
         "",
         "Route of the liveness probe."}
    );
}

void add_system_rule_keys(std::vector<Key>& keys) {
    keys.push_back(
        {"system.use_endpoint_health_status",
         "use_endpoint_health_status",
         {"DYN_SYSTEM_USE_ENDPOINT_HEALTH_STATUS"},
         names(
             [](auto& s) -> auto& { return s.system.use_endpoint_health_status; },
             "names of endpoints as a list, or separated by commas",
             is_endpoint_name
         ),
         "all endpoints",
         "The endpoints whose health is the process's, by name or by whole path; all of them must "
         "be served."}
    );
    keys.push_back(
        {"system.live_stall",
         "",
         {"DYN_SYSTEM_LIVE_STALL_SECONDS"},
         duration([](auto& s) -> auto& { return s.system.live_stall; }, 0s, day),
         "",
         "A primary loop that a task holds for longer than this fails the liveness probe; 0 is "
         "never."}
    );
    keys.push_back(
        {"system.tls",
         "",
         {"DYN_SYSTEM_TLS"},
         boolean([](auto& s) -> auto& { return s.system.tls; }),
         "",
         "The status server speaks TLS, with the certificate of tls.cert_path."}
    );
}

void add_health_keys(std::vector<Key>& keys) {
    keys.push_back(
        {"health.canaries",
         "health_check_enabled",
         {"DYN_HEALTH_CHECK_ENABLED"},
         boolean([](auto& s) -> auto& { return s.health.canaries; }),
         "",
         "Endpoints with a probe of their own are probed when they are idle."}
    );
    keys.push_back(
        {"health.canary_wait",
         "canary_wait_time_secs",
         {"DYN_CANARY_WAIT_TIME"},
         duration([](auto& s) -> auto& { return s.health.canary_wait; }, 10ms, day),
         "",
         "How long an endpoint is idle before it is probed."}
    );
    keys.push_back(
        {"health.request_timeout",
         "health_check_request_timeout_secs",
         {"DYN_HEALTH_CHECK_REQUEST_TIMEOUT"},
         duration([](auto& s) -> auto& { return s.health.request_timeout; }, 1ms, day),
         "",
         "How long a probe waits for its first item, and for each further one."}
    );
    keys.push_back(
        {"health.stream_timeout",
         "",
         {"DYN_HEALTH_CHECK_STREAM_TIMEOUT"},
         duration([](auto& s) -> auto& { return s.health.stream_timeout; }, 1ms, day),
         "",
         "How long a probe may take until its end."}
    );
    keys.push_back(
        {"health.busy_stall",
         "health_check_busy_stall_secs",
         {"DYN_HEALTH_CHECK_BUSY_STALL"},
         duration([](auto& s) -> auto& { return s.health.busy_stall; }, 1ms, day),
         "",
         "How long a busy endpoint with a probe may go without progress."}
    );
    keys.push_back(
        {"health.canary_withdraw",
         "",
         {"DYN_CANARY_WITHDRAW"},
         boolean([](auto& s) -> auto& { return s.health.canary_withdraw; }),
         "",
         "An endpoint whose probe fails is taken out of discovery until one succeeds."}
    );
}

void add_discovery_keys(std::vector<Key>& keys) {
    keys.push_back(
        {"discovery.backend",
         "",
         {"DYN_DISCOVERY_BACKEND"},
         choice(
             [](auto& s) -> auto& { return s.discovery.backend; },
             std::array<std::string_view, 3>{"mem", "file", "etcd"}
         ),
         "",
         "How processes find each other: mem is one process, file is one machine or a shared "
         "folder."}
    );
    keys.push_back(
        {"discovery.file_root",
         "",
         {"DYN_FILE_KV"},
         text([](auto& s) -> auto& { return s.discovery.file_root; }, "a folder", is_path),
         "$TMPDIR/dynamo_store_kv, TMPDIR being /tmp if unset",
         "Folder of the file backend; all processes that shall meet share it."}
    );
}

void add_etcd_keys(std::vector<Key>& keys) {
    keys.push_back(
        {"etcd.endpoints",
         "",
         {"ETCD_ENDPOINTS"},
         list(
             [](auto& s) -> auto& { return s.etcd.endpoints; },
             "http:// or https:// addresses, separated by commas",
             is_http_url
         ),
         "",
         "Members of the etcd cluster."}
    );
}

void add_etcd_time_keys(std::vector<Key>& keys) {
    const auto add_time = [&](std::string_view name,
                              std::string_view variable,
                              auto field,
                              Duration least,
                              Duration most,
                              std::string_view meaning) {
        keys.push_back({name, "", {variable}, duration(field, least, most), "", meaning});
    };
    add_time(
        "etcd.lease_ttl",
        "ETCD_LEASE_TTL",
        [](auto& s) -> auto& { return s.etcd.lease_ttl; },
        1s,
        day,
        "How long records outlive a process that died."
    );
    add_time(
        "etcd.startup_connect_timeout",
        "ETCD_STARTUP_CONNECT_TIMEOUT_SECONDS",
        [](auto& s) -> auto& { return s.etcd.startup_connect_timeout; },
        1ms,
        day,
        "How long a process that starts waits for etcd's first answer."
    );
    add_time(
        "etcd.call_timeout",
        "DYN_ETCD_CALL_TIMEOUT",
        [](auto& s) -> auto& { return s.etcd.call_timeout; },
        10ms,
        1h,
        "How long etcd is asked for one thing, all members and attempts together."
    );
    add_time(
        "etcd.keepalive_interval",
        "ETCD_KEEPALIVE_INTERVAL_SECONDS",
        [](auto& s) -> auto& { return s.etcd.keepalive_interval; },
        0s,
        day,
        "A silent connection to etcd is pinged after this; 0: never."
    );
    add_time(
        "etcd.keepalive_timeout",
        "ETCD_KEEPALIVE_TIMEOUT_SECONDS",
        [](auto& s) -> auto& { return s.etcd.keepalive_timeout; },
        1ms,
        1h,
        "How long the answer to a ping may take before the connection is given up."
    );
}

void add_etcd_access_keys(std::vector<Key>& keys) {
    const auto pem = "a PEM text or file, or nothing";
    const auto add =
        [&](std::string_view name, std::string_view variable, Kind kind, std::string_view meaning) {
            keys.push_back({name, "", {variable}, std::move(kind), "", meaning});
        };
    add("etcd.auth_username",
        "ETCD_AUTH_USERNAME",
        text([](auto& s) -> auto& { return s.etcd.auth_username; }, "a name, or nothing", is_path),
        "Who we are to an etcd that asks.");
    add("etcd.auth_password",
        "ETCD_AUTH_PASSWORD",
        secret([](auto& s) -> auto& { return s.etcd.auth_password; }),
        "The password of that user.");
    add("etcd.auth_ca",
        "ETCD_AUTH_CA",
        text([](auto& s) -> auto& { return s.etcd.auth_ca; }, pem, is_path),
        "Members must have a certificate of one of these authorities instead of the system's.");
    add("etcd.auth_client_cert",
        "ETCD_AUTH_CLIENT_CERT",
        text([](auto& s) -> auto& { return s.etcd.auth_client_cert; }, pem, is_path),
        "The certificate that members are shown, with its chain.");
    add("etcd.auth_client_key",
        "ETCD_AUTH_CLIENT_KEY",
        secret([](auto& s) -> auto& { return s.etcd.auth_client_key; }),
        "The key of that certificate: a PEM text or file.");
    add("etcd.module",
        "DYN_ETCD_MODULE",
        text([](auto& s) -> auto& { return s.etcd.module; }, "a file, or nothing", is_path),
        "The module that speaks with etcd, where it is not beside the program.");
}

void add_request_keys(std::vector<Key>& keys) {
    keys.push_back(
        {"request.plane",
         "",
         {"DYN_REQUEST_PLANE"},
         choice(
             [](auto& s) -> auto& { return s.request.plane; },
             std::array<std::string_view, 2>{"tcp", "nats"}
         ),
         "",
         "The plane that records publish for foreign clients; the native one is always served "
         "beside it."}
    );
    keys.push_back(
        {"request.codec",
         "",
         {"DYN_REQUEST_PLANE_CODEC"},
         choice(
             [](auto& s) -> auto& { return s.request.codec; },
             std::array<std::string_view, 2>{"msgpack", "json"}
         ),
         "",
         "How requests and responses are encoded."}
    );
}

void add_tcp_address_keys(std::vector<Key>& keys) {
    keys.push_back(
        {"tcp.host",
         "",
         {"DYN_TCP_RPC_HOST"},
         text([](auto& s) -> auto& { return s.tcp.host; }, host_text, is_host),
         "chosen by the discovery backend",
         "Where the request port listens."}
    );
    keys.push_back(
        {"tcp.port",
         "",
         {"DYN_TCP_RPC_PORT"},
         integer([](auto& s) -> auto& { return s.tcp.port; }, 0, 65535),
         "",
         "The request port; 0: any free one."}
    );
    keys.push_back(
        {"tcp.advertise_host",
         "",
         {"DYN_TCP_RPC_ADVERTISE_HOST"},
         text([](auto& s) -> auto& { return s.tcp.advertise_host; }, host_text, is_host),
         "where it listens",
         "The host that records publish."}
    );
    keys.push_back(
        {"tcp.advertise_port",
         "",
         {"DYN_TCP_RPC_ADVERTISE_PORT"},
         integer([](auto& s) -> auto& { return s.tcp.advertise_port; }, 0, 65535),
         "",
         "The port that records publish; 0: the one it listens on."}
    );
}

void add_tcp_limit_keys(std::vector<Key>& keys) {
    keys.push_back(
        {"tcp.max_message_size",
         "",
         {"DYN_TCP_MAX_MESSAGE_SIZE"},
         size([](auto& s) -> auto& { return s.tcp.max_message_size; }, kib, 4 * gib - 1),
         "",
         "Largest message of the Dynamo plane."}
    );
    keys.push_back(
        {"tcp.connect_timeout",
         "",
         {"DYN_TCP_CONNECT_TIMEOUT"},
         duration([](auto& s) -> auto& { return s.tcp.connect_timeout; }, 1ms, 1h),
         "",
         "How long a connection may take to come about, its handshake included."}
    );
    keys.push_back(
        {"tcp.request_timeout",
         "",
         {"DYN_TCP_REQUEST_TIMEOUT"},
         duration([](auto& s) -> auto& { return s.tcp.request_timeout; }, 1ms, 1h),
         "",
         "How long the Dynamo plane waits for the acknowledgement of a request."}
    );
}

void add_tcp_response_keys(std::vector<Key>& keys) {
    keys.push_back(
        {"tcp.response_host",
         "",
         {"DYN_TCP_RESPONSE_STREAM_HOST"},
         text([](auto& s) -> auto& { return s.tcp.response_host; }, host_text, is_host),
         "chosen by the discovery backend",
         "Where workers of the Dynamo plane connect to answer our calls."}
    );
    keys.push_back(
        {"tcp.response_port",
         "",
         {"DYN_TCP_RESPONSE_STREAM_PORT"},
         integer([](auto& s) -> auto& { return s.tcp.response_port; }, 0, 65535),
         "",
         "The port of that; 0: any free one."}
    );
    keys.push_back(
        {"tcp.response_advertise_host",
         "",
         {"DYN_TCP_RESPONSE_STREAM_ADVERTISE_HOST"},
         text([](auto& s) -> auto& { return s.tcp.response_advertise_host; }, host_text, is_host),
         "where it listens",
         "The host that workers are told to answer to."}
    );
    keys.push_back(
        {"tcp.response_advertise_port",
         "",
         {"DYN_TCP_RESPONSE_STREAM_ADVERTISE_PORT"},
         integer([](auto& s) -> auto& { return s.tcp.response_advertise_port; }, 0, 65535),
         "",
         "The port that workers are told to answer to; 0: the one it listens on."}
    );
    keys.push_back(
        {"tcp.call_home_timeout",
         "",
         {"DYN_TCP_CALL_HOME_TIMEOUT"},
         duration([](auto& s) -> auto& { return s.tcp.call_home_timeout; }, 1ms, 24h),
         "",
         "How long a call waits, once a worker of the Dynamo plane has acknowledged it, for that "
         "worker to begin with it."}
    );
    keys.push_back(
        {"tcp.prologue_timeout",
         "",
         {"DYN_TCP_PROLOGUE_TIMEOUT"},
         duration([](auto& s) -> auto& { return s.tcp.prologue_timeout; }, 1ms, 24h),
         "",
         "How long it waits from there for the answer to begin."}
    );
}

void add_tls_file_keys(std::vector<Key>& keys) {
    const auto file = "a PEM file, or nothing";
    const auto add =
        [&](std::string_view name, std::string_view variable, auto field, std::string_view meaning
        ) { keys.push_back({name, "", {variable}, text(field, file, is_path), "", meaning}); };
    add(
        "tls.cert_path",
        "DYN_TCP_TLS_CERT_PATH",
        [](auto& s) -> auto& { return s.tls.cert_path; },
        "The certificate of what listens here, with its chain; it makes those ports speak TLS."
    );
    add(
        "tls.key_path",
        "DYN_TCP_TLS_KEY_PATH",
        [](auto& s) -> auto& { return s.tls.key_path; },
        "The key of that certificate."
    );
    add(
        "tls.client_ca_cert_path",
        "DYN_TCP_TLS_CLIENT_CA_CERT_PATH",
        [](auto& s) -> auto& { return s.tls.client_ca_cert_path; },
        "Who connects must have a certificate of one of these authorities."
    );
    add(
        "tls.ca_cert_path",
        "DYN_TCP_TLS_CA_CERT_PATH",
        [](auto& s) -> auto& { return s.tls.ca_cert_path; },
        "What is connected to must have a certificate of one of these authorities; it makes all "
        "connections to others TLS."
    );
    add(
        "tls.client_cert_path",
        "DYN_TCP_TLS_CLIENT_CERT_PATH",
        [](auto& s) -> auto& { return s.tls.client_cert_path; },
        "The certificate that is shown to those who ask who connects, with its chain."
    );
    add(
        "tls.client_key_path",
        "DYN_TCP_TLS_CLIENT_KEY_PATH",
        [](auto& s) -> auto& { return s.tls.client_key_path; },
        "The key of that certificate."
    );
}

void add_tls_rule_keys(std::vector<Key>& keys) {
    keys.push_back(
        {"tls.server_name",
         "",
         {"DYN_TCP_TLS_SERVER_NAME"},
         text(
             [](auto& s) -> auto& { return s.tls.server_name; },
             "a host name or address, or nothing",
             is_host
         ),
         "the address that is connected to",
         "The name that the certificate of what is connected to must hold."}
    );
    keys.push_back(
        {"tls.insecure",
         "",
         {"DYN_TCP_TLS_INSECURE"},
         boolean([](auto& s) -> auto& { return s.tls.insecure; }),
         "",
         "Connections to others are TLS without a look at who answers: for experiments only."}
    );
    keys.push_back(
        {"tls.handshake_timeout",
         "",
         {"DYN_TCP_TLS_HANDSHAKE_TIMEOUT_SECS"},
         duration([](auto& s) -> auto& { return s.tls.handshake_timeout; }, 1ms, 1h),
         "",
         "How long a TLS handshake may take."}
    );
}

void add_mux_window_keys(std::vector<Key>& keys) {
    keys.push_back(
        {"mux.stream_window",
         "",
         {"DYN_MUX_STREAM_WINDOW"},
         size([](auto& s) -> auto& { return s.mux.stream_window; }, 16 * kib, gib),
         "",
         "Credit of a new call in the direction of the worker."}
    );
    keys.push_back(
        {"mux.least_stream_window",
         "",
         {"DYN_MUX_LEAST_STREAM_WINDOW"},
         size([](auto& s) -> auto& { return s.mux.least_stream_window; }, 8 * kib, gib),
         "",
         "What a call gets at least while others hold the connection's memory."}
    );
    keys.push_back(
        {"mux.most_stream_window",
         "",
         {"DYN_MUX_MOST_STREAM_WINDOW"},
         size([](auto& s) -> auto& { return s.mux.most_stream_window; }, 8 * kib, gib),
         "",
         "What a call gets at most."}
    );
}

void add_mux_memory_keys(std::vector<Key>& keys) {
    keys.push_back(
        {"mux.connection_window",
         "",
         {"DYN_MUX_CONNECTION_WINDOW"},
         size([](auto& s) -> auto& { return s.mux.connection_window; }, 64 * kib, 64 * gib),
         "",
         "Memory for what was received on a connection and not taken yet, normally."}
    );
    keys.push_back(
        {"mux.memory_limit",
         "",
         {"DYN_MUX_MEMORY_LIMIT"},
         size([](auto& s) -> auto& { return s.mux.memory_limit; }, 64 * kib, 64 * gib),
         "",
         "The same when calls at a standstill hold it: beyond this all wait."}
    );
    keys.push_back(
        {"mux.process_memory_limit",
         "",
         {"DYN_MUX_PROCESS_MEMORY_LIMIT"},
         size([](auto& s) -> auto& { return s.mux.process_memory_limit; }, 64 * kib, 64 * gib),
         "",
         "What all connections together may hold and have promised to take, half of it for large "
         "messages: as it is used up, windows become smaller."}
    );
    keys.push_back(
        {"mux.large_message_budget",
         "",
         {"DYN_MUX_LARGE_MESSAGE_BUDGET"},
         size([](auto& s) -> auto& { return s.mux.large_message_budget; }, 64 * kib, 64 * gib),
         "",
         "Memory for messages that are larger than their call's window."}
    );
}

void add_mux_limit_keys(std::vector<Key>& keys) {
    keys.push_back(
        {"mux.max_message_size",
         "",
         {"DYN_MUX_MAX_MESSAGE_SIZE"},
         size([](auto& s) -> auto& { return s.mux.max_message_size; }, 16 * kib, 4 * gib - 1),
         "",
         "Largest message."}
    );
    keys.push_back(
        {"mux.max_frame_size",
         "",
         {"DYN_MUX_MAX_FRAME_SIZE"},
         size([](auto& s) -> auto& { return s.mux.max_frame_size; }, 16 * kib, 16 * mib),
         "",
         "Largest piece of a message in one frame."}
    );
    keys.push_back(
        {"mux.max_streams",
         "",
         {"DYN_MUX_MAX_STREAMS"},
         integer([](auto& s) -> auto& { return s.mux.max_streams; }, 1, 16'777'216),
         "",
         "Calls that one connection serves at a time."}
    );
}

void add_mux_liveness_keys(std::vector<Key>& keys) {
    keys.push_back(
        {"mux.ping_after",
         "",
         {"DYN_MUX_PING_AFTER"},
         duration([](auto& s) -> auto& { return s.mux.ping_after; }, 1ms, 1h),
         "",
         "A peer silent for this long is pinged."}
    );
    keys.push_back(
        {"mux.suspect_after",
         "",
         {"DYN_MUX_SUSPECT_AFTER"},
         duration([](auto& s) -> auto& { return s.mux.suspect_after; }, 1ms, 1h),
         "",
         "A peer silent for this long gets no new calls."}
    );
    keys.push_back(
        {"mux.lost_after",
         "",
         {"DYN_MUX_LOST_AFTER"},
         duration([](auto& s) -> auto& { return s.mux.lost_after; }, 1ms, 1h),
         "",
         "A peer silent for this long is disconnected."}
    );
}

}  // namespace

const std::vector<Key>& all_keys() {
    static const auto& keys = *new auto([] {
        std::vector<Key> made;
        add_runtime_keys(made);
        add_loop_keys(made);
        add_compute_keys(made);
        add_stall_keys(made);
        add_worker_keys(made);
        add_lease_keys(made);
        add_control_keys(made);
        add_system_keys(made);
        add_system_rule_keys(made);
        add_health_keys(made);
        add_discovery_keys(made);
        add_etcd_keys(made);
        add_etcd_time_keys(made);
        add_etcd_access_keys(made);
        add_nats_keys(made);
        add_request_keys(made);
        add_event_keys(made);
        add_tcp_address_keys(made);
        add_tcp_limit_keys(made);
        add_tcp_response_keys(made);
        add_tls_file_keys(made);
        add_tls_rule_keys(made);
        add_mux_window_keys(made);
        add_mux_memory_keys(made);
        add_mux_limit_keys(made);
        add_mux_liveness_keys(made);
        add_logging_keys(made);
        add_log_shipping_keys(made);
        return made;
    }());
    return keys;
}

}  // namespace stator::settings
