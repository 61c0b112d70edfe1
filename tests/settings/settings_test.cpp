#include "stator/settings/settings.hpp"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "settings/table.hpp"
#include "stator/base/sink.hpp"

namespace stator::settings {
namespace {

using namespace std::chrono_literals;
using Variables = std::map<std::string, std::string, std::less<>>;

/// A configuration root of its own per test, gone afterwards.
class Root {
public:
    Root() {
        std::string pattern =
            (std::filesystem::temp_directory_path() / "stator-settings-XXXXXX").string();
        path_ = ::mkdtemp(pattern.data());
    }
    ~Root() { std::filesystem::remove_all(path_); }
    Root(const Root&) = delete;
    Root& operator=(const Root&) = delete;

    std::string write(const std::string& name, std::string_view text) const {
        const auto file = path_ / name;
        std::filesystem::create_directories(file.parent_path());
        std::ofstream{file} << text;
        return file.string();
    }
    Result<Settings> load(Variables variables = {}) const {
        variables["DYN_CONFIG_ROOT"] = path_.string();
        return settings::load(Environment{std::move(variables)});
    }
    const std::filesystem::path& path() const { return path_; }

private:
    std::filesystem::path path_;
};

class Warnings final : public Sink {
public:
    Warnings() { set_sink(this); }
    ~Warnings() override { set_sink(nullptr); }
    void report(
        Severity severity, std::string_view target, std::string_view message, std::source_location
    ) noexcept override {
        EXPECT_EQ(severity, Severity::warn);
        EXPECT_EQ(target, "stator::settings");
        lines.emplace_back(message);
    }
    void count(std::string_view, std::uint64_t) noexcept override {}
    void gauge(std::string_view, double) noexcept override {}

    std::vector<std::string> lines;
};

std::string value_of(const Settings& settings, std::string_view name) {
    for (const auto& entry : entries(settings)) {
        if (entry.name == name) return entry.value;
    }
    return "no such setting";
}

TEST(Settings, defaults_are_those_of_the_original) {
    const Root root;
    const auto settings = root.load({{"TMPDIR", "/var/tmp"}});
    ASSERT_TRUE(settings.has_value()) << settings.error().what();
    EXPECT_EQ(settings->runtime.num_worker_threads, core_count());
    EXPECT_EQ(settings->runtime.secondary_threads, 1U);
    EXPECT_EQ(settings->worker.graceful_shutdown_timeout, 30s);
    EXPECT_EQ(settings->worker.settle_time, 1s);
    EXPECT_EQ(settings->system.port, -1);
    EXPECT_EQ(settings->system.host, "0.0.0.0");
    EXPECT_EQ(settings->discovery.backend, DiscoveryBackend::file);
    EXPECT_EQ(settings->discovery.file_root, "/var/tmp/dynamo_store_kv");
    EXPECT_EQ(settings->etcd.endpoints, std::vector<std::string>{"http://localhost:2379"});
    EXPECT_EQ(settings->etcd.lease_ttl, 30s);
    EXPECT_EQ(settings->nats.server, "nats://localhost:4222");
    EXPECT_EQ(settings->request.plane, RequestPlane::tcp);
    EXPECT_EQ(settings->request.codec, RequestCodec::msgpack);
    EXPECT_EQ(settings->tcp.max_message_size, 33'554'432U);
    EXPECT_EQ(settings->tcp.connect_timeout, 5s);
    EXPECT_EQ(settings->mux.stream_window, 262'144U);
    EXPECT_EQ(settings->mux.suspect_after, 4s);
    EXPECT_EQ(settings->mux.lost_after, 30s);
    EXPECT_EQ(settings->logging.filter, "info");
    EXPECT_TRUE(settings->sources.empty());
    EXPECT_EQ(root.load()->discovery.file_root, "/tmp/dynamo_store_kv");
}

TEST(Settings, defaults_fit_what_the_control_group_allows) {
    const Root root;
    const auto load = [&root](ResourceLimits limits, Variables variables = {}) {
        variables["DYN_CONFIG_ROOT"] = root.path().string();
        auto settings = settings::load(Environment{std::move(variables)}, limits);
        EXPECT_TRUE(settings) << settings.error().what();
        return settings.value();
    };
    const auto free = load({});
    EXPECT_EQ(free.runtime.num_worker_threads, core_count());
    EXPECT_EQ(free.mux.process_memory_limit, std::uint64_t{2} << 30U);
    const auto roomy = load({.cpus = 4096.0, .memory = std::uint64_t{1} << 40U});
    EXPECT_EQ(roomy.runtime.num_worker_threads, core_count());
    EXPECT_TRUE(roomy.sources.empty());
    const auto small = load({.cpus = 0.5, .memory = 1U << 30U});
    EXPECT_EQ(small.runtime.num_worker_threads, 1U);
    EXPECT_EQ(small.runtime.max_blocking_threads, 1U);
    EXPECT_EQ(small.mux.process_memory_limit, 256U << 20U);
    EXPECT_EQ(small.mux.large_message_budget, 128U << 20U);
    EXPECT_EQ(small.source_of("mux.process_memory_limit"), "control group");
    // The largest message fits in any case.
    const auto tiny = load({.cpus = {}, .memory = 64U << 20U});
    EXPECT_EQ(tiny.mux.process_memory_limit, 128U << 20U);
    EXPECT_EQ(tiny.mux.large_message_budget, 64U << 20U);
    // And what is given.
    const auto large = load(
        {.cpus = {}, .memory = 1U << 30U},
        {{"DYN_MUX_LARGE_MESSAGE_BUDGET", "512MiB"}, {"DYN_MUX_MAX_MESSAGE_SIZE", "256MiB"}}
    );
    EXPECT_EQ(large.mux.process_memory_limit, 1U << 30U);
    EXPECT_EQ(large.mux.large_message_budget, 512U << 20U);
    const auto given = load(
        {.cpus = 0.5, .memory = 1U << 30U},
        {{"DYN_RUNTIME_NUM_WORKER_THREADS", "3"}, {"DYN_MUX_PROCESS_MEMORY_LIMIT", "1GiB"}}
    );
    EXPECT_EQ(given.runtime.num_worker_threads, 3U);
    EXPECT_EQ(given.mux.process_memory_limit, 1U << 30U);
    EXPECT_EQ(
        given.source_of("mux.process_memory_limit"), "environment DYN_MUX_PROCESS_MEMORY_LIMIT"
    );
}

TEST(Settings, layers_override_each_other_in_order) {
    const Root root;
    root.write(
        "defaults/runtime.toml",
        "num_worker_threads = 1\nmax_blocking_threads = 1\nsystem_port = 1\nsystem_host = 'a'\n"
    );
    root.write("etc/a.toml", "num_worker_threads = 2\nmax_blocking_threads = 2\nsystem_port = 2\n");
    root.write("etc/b.toml", "num_worker_threads = 3\nmax_blocking_threads = 3\n");
    const auto settings = root.load({{"DYN_RUNTIME_NUM_WORKER_THREADS", "4"}});
    ASSERT_TRUE(settings.has_value()) << settings.error().what();
    EXPECT_EQ(settings->runtime.num_worker_threads, 4U);
    EXPECT_EQ(settings->runtime.max_blocking_threads, 3U);
    EXPECT_EQ(settings->system.port, 2);
    EXPECT_EQ(settings->system.host, "a");

    const auto path = root.path().string();
    EXPECT_EQ(
        settings->source_of("runtime.num_worker_threads"),
        "environment DYN_RUNTIME_NUM_WORKER_THREADS"
    );
    EXPECT_EQ(settings->source_of("runtime.max_blocking_threads"), path + "/etc/b.toml:2");
    EXPECT_EQ(settings->source_of("system.port"), path + "/etc/a.toml:3");
    EXPECT_EQ(settings->source_of("system.host"), path + "/defaults/runtime.toml:4");
    EXPECT_EQ(settings->source_of("system.live_path"), "default");
}

TEST(Settings, empty_variables_count_as_unset) {
    const Root root;
    root.write("etc/runtime.toml", "[system]\nport = 7\n");
    const auto settings = root.load({{"DYN_SYSTEM_PORT", ""}, {"DYN_LOG", "  \t"}, {"TMPDIR", ""}});
    ASSERT_TRUE(settings.has_value()) << settings.error().what();
    EXPECT_EQ(settings->system.port, 7);
    EXPECT_EQ(settings->logging.filter, "info");
    EXPECT_EQ(root.load({{"DYN_SYSTEM_PORT", " 8 "}})->system.port, 8);
}

TEST(Settings, every_setting_can_be_set_by_variable_and_by_file) {
    struct Row {
        const char* name;
        const char* variable;
        const char* text;   // of the variable
        const char* value;  // as shown
        const char* toml;
    };
    const Row rows[] = {
        {"runtime.num_worker_threads", "DYN_RUNTIME_NUM_WORKER_THREADS", "3", "3", "3"},
        {"runtime.max_blocking_threads", "DYN_RUNTIME_MAX_BLOCKING_THREADS", "512", "512", "512"},
        {"runtime.secondary_threads", "DYN_RUNTIME_SECONDARY_THREADS", "2", "2", "2"},
        {"runtime.busy_poll", "DYN_RUNTIME_BUSY_POLL", "50us", "50us", "'50us'"},
        {"runtime.timer_gap", "DYN_RUNTIME_TIMER_GAP", "50us", "50us", "'50us'"},
        {"runtime.long_step", "DYN_RUNTIME_LONG_STEP", "1ms", "1ms", "'1ms'"},
        {"runtime.compute_threads", "DYN_COMPUTE_THREADS", "3", "3", "3"},
        {"runtime.compute_stack_size", "DYN_COMPUTE_STACK_SIZE", "1MiB", "1MiB", "'1MiB'"},
        {"runtime.compute_thread_prefix",
         "DYN_COMPUTE_THREAD_PREFIX",
         "crunch",
         "crunch",
         "'crunch'"},
        {"runtime.stall_threshold", "DYN_RUNTIME_STALL_THRESHOLD", "50ms", "50ms", "'50ms'"},
        {"worker.graceful_shutdown_timeout",
         "DYN_WORKER_GRACEFUL_SHUTDOWN_TIMEOUT",
         "0.5",
         "500ms",
         "0.5"},
        {"worker.settle_time", "DYN_WORKER_SETTLE_TIME", "250ms", "250ms", "'250ms'"},
        {"worker.remote_control", "DYN_WORKER_REMOTE_CONTROL", "1", "true", "true"},
        {"worker.on_lease_lost", "DYN_WORKER_ON_LEASE_LOST", "shutdown", "shutdown", "'shutdown'"},
        {"worker.revoke", "DYN_WORKER_REVOKE", "immediate", "immediate", "'immediate'"},
        {"worker.descriptor_limit", "DYN_WORKER_DESCRIPTOR_LIMIT", "4096", "4096", "4096"},
        {"system.host", "DYN_SYSTEM_HOST", "::1", "::1", "'::1'"},
        {"system.port", "DYN_SYSTEM_PORT", "0", "0", "0"},
        {"system.starting_health_status",
         "DYN_SYSTEM_STARTING_HEALTH_STATUS",
         "ready",
         "ready",
         "'ready'"},
        {"system.health_path", "DYN_SYSTEM_HEALTH_PATH", "/h", "/h", "'/h'"},
        {"system.live_path", "DYN_SYSTEM_LIVE_PATH", "/l", "/l", "'/l'"},
        {"system.use_endpoint_health_status",
         "DYN_SYSTEM_USE_ENDPOINT_HEALTH_STATUS",
         "[\"generate\", \"a.b.c\"]",
         "generate,a.b.c",
         "['generate', 'a.b.c']"},
        {"system.live_stall", "DYN_SYSTEM_LIVE_STALL_SECONDS", "15", "15s", "15"},
        {"system.tls", "DYN_SYSTEM_TLS", "1", "true", "true"},
        {"health.canaries", "DYN_HEALTH_CHECK_ENABLED", "true", "true", "true"},
        {"health.canary_wait", "DYN_CANARY_WAIT_TIME", "1", "1s", "1"},
        {"health.request_timeout", "DYN_HEALTH_CHECK_REQUEST_TIMEOUT", "2", "2s", "2"},
        {"health.stream_timeout", "DYN_HEALTH_CHECK_STREAM_TIMEOUT", "9", "9s", "9"},
        {"health.busy_stall", "DYN_HEALTH_CHECK_BUSY_STALL", "90", "90s", "90"},
        {"health.canary_withdraw", "DYN_CANARY_WITHDRAW", "yes", "true", "true"},
        {"discovery.backend", "DYN_DISCOVERY_BACKEND", "mem", "mem", "'mem'"},
        {"discovery.file_root", "DYN_FILE_KV", "/x", "/x", "'/x'"},
        {"etcd.endpoints",
         "ETCD_ENDPOINTS",
         "http://a:1, https://b:2",
         "http://a:1,https://b:2",
         "['http://a:1', 'https://b:2']"},
        {"etcd.lease_ttl", "ETCD_LEASE_TTL", "4", "4s", "4"},
        {"etcd.startup_connect_timeout", "ETCD_STARTUP_CONNECT_TIMEOUT_SECONDS", "9", "9s", "9"},
        {"etcd.call_timeout", "DYN_ETCD_CALL_TIMEOUT", "250ms", "250ms", "'250ms'"},
        {"etcd.keepalive_interval", "ETCD_KEEPALIVE_INTERVAL_SECONDS", "0", "0s", "0"},
        {"etcd.keepalive_timeout", "ETCD_KEEPALIVE_TIMEOUT_SECONDS", "3", "3s", "3"},
        {"etcd.auth_username", "ETCD_AUTH_USERNAME", "me", "me", "'me'"},
        {"etcd.auth_password", "ETCD_AUTH_PASSWORD", "pw", "(not shown)", "'pw'"},
        {"etcd.auth_ca", "ETCD_AUTH_CA", "/c.pem", "/c.pem", "'/c.pem'"},
        {"etcd.auth_client_cert", "ETCD_AUTH_CLIENT_CERT", "/m.pem", "/m.pem", "'/m.pem'"},
        {"etcd.auth_client_key", "ETCD_AUTH_CLIENT_KEY", "/m.key", "(not shown)", "'/m.key'"},
        {"etcd.module", "DYN_ETCD_MODULE", "/m.so", "/m.so", "'/m.so'"},
        {"nats.server", "NATS_SERVER", "tls://n:1", "tls://n:1", "'tls://n:1'"},
        {"nats.auth_username", "NATS_AUTH_USERNAME", "me", "me", "'me'"},
        {"nats.auth_password", "NATS_AUTH_PASSWORD", "pw", "(not shown)", "'pw'"},
        {"nats.auth_token", "NATS_AUTH_TOKEN", "t", "(not shown)", "'t'"},
        {"nats.auth_nkey", "NATS_AUTH_NKEY", "SU", "(not shown)", "'SU'"},
        {"nats.auth_credentials_file", "NATS_AUTH_CREDENTIALS_FILE", "/c", "/c", "'/c'"},
        {"nats.tls_ca_cert_path", "NATS_TLS_CA_CERT_PATH", "/c.pem", "/c.pem", "'/c.pem'"},
        {"nats.tls_client_cert_path", "NATS_TLS_CLIENT_CERT_PATH", "/m.pem", "/m.pem", "'/m.pem'"},
        {"nats.tls_client_key_path", "NATS_TLS_CLIENT_KEY_PATH", "/m.key", "/m.key", "'/m.key'"},
        {"nats.tls_insecure", "NATS_TLS_INSECURE", "on", "true", "true"},
        {"nats.startup_connect_timeout", "NATS_STARTUP_CONNECT_TIMEOUT_SECONDS", "9", "9s", "9"},
        {"nats.request_timeout", "DYN_NATS_REQUEST_TIMEOUT_SECS", "3", "3s", "3"},
        {"nats.module", "DYN_NATS_MODULE", "/n.so", "/n.so", "'/n.so'"},
        {"request.plane", "DYN_REQUEST_PLANE", "nats", "nats", "'nats'"},
        {"request.codec", "DYN_REQUEST_PLANE_CODEC", "json", "json", "'json'"},
        {"event.plane", "DYN_EVENT_PLANE", "nats", "nats", "'nats'"},
        {"event.host", "DYN_EVENT_PLANE_HOST", "10.0.0.1", "10.0.0.1", "'10.0.0.1'"},
        {"event.module", "DYN_EVENT_MODULE", "/z.so", "/z.so", "'/z.so'"},
        {"tcp.host", "DYN_TCP_RPC_HOST", "10.0.0.1", "10.0.0.1", "'10.0.0.1'"},
        {"tcp.port", "DYN_TCP_RPC_PORT", "65535", "65535", "65535"},
        {"tcp.advertise_host", "DYN_TCP_RPC_ADVERTISE_HOST", "w.example", "w.example", "'w.example'"
        },
        {"tcp.advertise_port", "DYN_TCP_RPC_ADVERTISE_PORT", "1", "1", "1"},
        {"tcp.max_message_size", "DYN_TCP_MAX_MESSAGE_SIZE", "1048576", "1MiB", "1048576"},
        {"tcp.connect_timeout", "DYN_TCP_CONNECT_TIMEOUT", "3", "3s", "3"},
        {"tcp.request_timeout", "DYN_TCP_REQUEST_TIMEOUT", "10", "10s", "10"},
        {"tcp.response_host", "DYN_TCP_RESPONSE_STREAM_HOST", "::1", "::1", "\"::1\""},
        {"tcp.response_port", "DYN_TCP_RESPONSE_STREAM_PORT", "7001", "7001", "7001"},
        {"tcp.response_advertise_host",
         "DYN_TCP_RESPONSE_STREAM_ADVERTISE_HOST",
         "10.0.0.9",
         "10.0.0.9",
         "\"10.0.0.9\""},
        {"tcp.response_advertise_port",
         "DYN_TCP_RESPONSE_STREAM_ADVERTISE_PORT",
         "7002",
         "7002",
         "7002"},
        {"tcp.call_home_timeout", "DYN_TCP_CALL_HOME_TIMEOUT", "90", "90s", "90"},
        {"tcp.prologue_timeout", "DYN_TCP_PROLOGUE_TIMEOUT", "20", "20s", "20"},
        {"tls.cert_path", "DYN_TCP_TLS_CERT_PATH", "/c", "/c", "'/c'"},
        {"tls.key_path", "DYN_TCP_TLS_KEY_PATH", "/k", "/k", "'/k'"},
        {"tls.client_ca_cert_path", "DYN_TCP_TLS_CLIENT_CA_CERT_PATH", "/a", "/a", "'/a'"},
        {"tls.ca_cert_path", "DYN_TCP_TLS_CA_CERT_PATH", "/a", "/a", "'/a'"},
        {"tls.client_cert_path", "DYN_TCP_TLS_CLIENT_CERT_PATH", "/c", "/c", "'/c'"},
        {"tls.client_key_path", "DYN_TCP_TLS_CLIENT_KEY_PATH", "/k", "/k", "'/k'"},
        {"tls.server_name", "DYN_TCP_TLS_SERVER_NAME", "w.example", "w.example", "'w.example'"},
        {"tls.insecure", "DYN_TCP_TLS_INSECURE", "1", "true", "true"},
        {"tls.handshake_timeout", "DYN_TCP_TLS_HANDSHAKE_TIMEOUT_SECS", "7", "7s", "7"},
        {"mux.stream_window", "DYN_MUX_STREAM_WINDOW", "64KiB", "64KiB", "'64KiB'"},
        {"mux.least_stream_window", "DYN_MUX_LEAST_STREAM_WINDOW", "8KiB", "8KiB", "8192"},
        {"mux.most_stream_window", "DYN_MUX_MOST_STREAM_WINDOW", "1MiB", "1MiB", "1048576"},
        {"mux.connection_window", "DYN_MUX_CONNECTION_WINDOW", "32MiB", "32MiB", "'32MiB'"},
        {"mux.memory_limit", "DYN_MUX_MEMORY_LIMIT", "1GiB", "1GiB", "'1GiB'"},
        {"mux.process_memory_limit", "DYN_MUX_PROCESS_MEMORY_LIMIT", "3GiB", "3GiB", "'3GiB'"},
        {"mux.large_message_budget", "DYN_MUX_LARGE_MESSAGE_BUDGET", "256MiB", "256MiB", "'256MiB'"
        },
        {"mux.max_message_size", "DYN_MUX_MAX_MESSAGE_SIZE", "100000", "100000", "100000"},
        {"mux.max_frame_size", "DYN_MUX_MAX_FRAME_SIZE", "16384", "16KiB", "16384"},
        {"mux.max_streams", "DYN_MUX_MAX_STREAMS", "10", "10", "10"},
        {"mux.ping_after", "DYN_MUX_PING_AFTER", "100ms", "100ms", "0.1"},
        {"mux.suspect_after", "DYN_MUX_SUSPECT_AFTER", "1m", "1m", "'1m'"},
        {"mux.lost_after", "DYN_MUX_LOST_AFTER", "1h", "1h", "3600"},
        {"logging.filter", "DYN_LOG", "debug,a::b=trace", "debug,a::b=trace", "'debug,a::b=trace'"},
        {"logging.jsonl", "DYN_LOGGING_JSONL", "YES", "true", "true"},
        {"logging.ansi", "DYN_SDK_DISABLE_ANSI_LOGGING", "1", "false", "false"},
        {"logging.local_time", "DYN_LOG_USE_LOCAL_TZ", "on", "true", "true"},
        {"logging.span_events", "DYN_LOGGING_SPAN_EVENTS", "1", "true", "true"},
        {"logging.otlp_endpoint",
         "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT",
         "http://c:1/v1/logs",
         "http://c:1/v1/logs",
         "'http://c:1/v1/logs'"},
        {"logging.otlp_certificate",
         "OTEL_EXPORTER_OTLP_LOGS_CERTIFICATE",
         "/ca.pem",
         "/ca.pem",
         "'/ca.pem'"},
        {"logging.service_name", "OTEL_SERVICE_NAME", "prefill", "prefill", "'prefill'"},
    };
    std::set<std::string_view> covered;
    for (const auto& row : rows) {
        covered.insert(row.name);
        Variables variables{{row.variable, row.text}};
        // Bounds that look at two settings stay out of the way.
        if (std::string_view{row.name} == "mux.suspect_after")
            variables["DYN_MUX_LOST_AFTER"] = "1h";
        const Root root;
        const auto by_variable = root.load(variables);
        ASSERT_TRUE(by_variable.has_value()) << row.name << ": " << by_variable.error().what();
        EXPECT_EQ(value_of(*by_variable, row.name), row.value);
        EXPECT_EQ(by_variable->source_of(row.name), fmt::format("environment {}", row.variable));

        const auto path = root.write("etc/x.toml", fmt::format("{} = {}\n", row.name, row.toml));
        variables.erase(row.variable);
        const auto by_file = root.load(variables);
        ASSERT_TRUE(by_file.has_value()) << row.name << ": " << by_file.error().what();
        EXPECT_EQ(value_of(*by_file, row.name), row.value);
        EXPECT_EQ(by_file->source_of(row.name), path + ":1");
    }
    for (const auto& key : all_keys())
        EXPECT_TRUE(covered.contains(key.name)) << key.name << " has no row here";
}

TEST(Settings, bad_values_name_source_key_value_and_bounds) {
    struct Row {
        const char* variable;
        const char* text;
        const char* expected;
    };
    const Row rows[] = {
        {"DYN_RUNTIME_NUM_WORKER_THREADS", "0", "from 1 to 4096"},
        {"DYN_RUNTIME_NUM_WORKER_THREADS", "-1", "from 1 to 4096"},
        {"DYN_RUNTIME_NUM_WORKER_THREADS", "4.0", "a whole number"},
        {"DYN_RUNTIME_NUM_WORKER_THREADS", "four", "a whole number"},
        {"DYN_RUNTIME_NUM_WORKER_THREADS", "99999999999999999999", "a whole number"},
        {"DYN_RUNTIME_MAX_BLOCKING_THREADS", "4097", "from 1 to 4096"},
        {"DYN_SYSTEM_PORT", "65536", "from -1 to 65535"},
        {"DYN_SYSTEM_PORT", "-2", "from -1 to 65535"},
        {"DYN_SYSTEM_PORT", "80 90", "a whole number"},
        {"DYN_SYSTEM_HEALTH_PATH", "health", "a path that starts with /"},
        {"DYN_SYSTEM_USE_ENDPOINT_HEALTH_STATUS",
         "a b",
         "names of endpoints as a list, or separated by commas"},
        {"DYN_SYSTEM_STARTING_HEALTH_STATUS", "healthy", "one of notready, ready"},
        {"DYN_WORKER_GRACEFUL_SHUTDOWN_TIMEOUT", "-1", "a time from 0s to 24h"},
        {"DYN_WORKER_GRACEFUL_SHUTDOWN_TIMEOUT", "soon", "a time"},
        {"DYN_WORKER_GRACEFUL_SHUTDOWN_TIMEOUT", "nan", "a time"},
        {"DYN_WORKER_GRACEFUL_SHUTDOWN_TIMEOUT", "inf", "a time"},
        {"DYN_WORKER_GRACEFUL_SHUTDOWN_TIMEOUT", "1e300", "a time"},
        {"DYN_WORKER_GRACEFUL_SHUTDOWN_TIMEOUT", "5 s", "a time"},
        {"DYN_WORKER_GRACEFUL_SHUTDOWN_TIMEOUT", "ms", "a time"},
        {"DYN_DISCOVERY_BACKEND", "kubernetes", "one of mem, file, etcd"},
        {"DYN_DISCOVERY_BACKEND", "File", "one of mem, file, etcd"},
        {"DYN_REQUEST_PLANE", "http", "one of tcp, nats"},
        {"DYN_EVENT_PLANE", "tcp", "one of zmq, nats"},
        {"DYN_TCP_RPC_HOST", "a b", "a host name or address"},
        {"DYN_TCP_MAX_MESSAGE_SIZE", "10", "a size from 1KiB to"},
        {"DYN_TCP_MAX_MESSAGE_SIZE", "32MB", "a size"},
        {"DYN_TCP_MAX_MESSAGE_SIZE", "-1", "a size"},
        {"DYN_TCP_MAX_MESSAGE_SIZE", "18446744073709551615KiB", "a size"},
        {"DYN_MUX_MAX_STREAMS", "0", "from 1 to"},
        {"ETCD_ENDPOINTS", "localhost:2379", "http:// or https://"},
        {"ETCD_ENDPOINTS", ",", "http:// or https://"},
        {"ETCD_LEASE_TTL", "0", "a time from 1s"},
        {"NATS_SERVER", "http://x", "a nats:// or tls:// address"},
        {"DYN_LOGGING_JSONL", "maybe", "true or false"},
    };
    const Root root;
    for (const auto& row : rows) {
        const auto settings = root.load({{row.variable, row.text}});
        ASSERT_FALSE(settings.has_value()) << row.variable << "=" << row.text;
        EXPECT_EQ(settings.error().code(), ErrorCode::invalid_request);
        EXPECT_EQ(settings.error().detail(), "settings.value");
        const auto& message = settings.error().message();
        EXPECT_TRUE(message.starts_with(fmt::format("environment {}: ", row.variable))) << message;
        EXPECT_NE(message.find(fmt::format(" = \"{}\": expected ", row.text)), message.npos)
            << message;
        EXPECT_NE(message.find(row.expected), message.npos) << message;
    }
}

TEST(Settings, values_of_the_wrong_type_in_a_file_are_named) {
    for (const auto* line : {
             "system.port = '8080'",
             "system.port = 80.5",
             "system.port = true",
             "system.port = [80]",
             "system.port = {}",
             "system.port = 2020-01-01",
             "system.host = 1",
             "logging.jsonl = 'yes'",
             "logging.jsonl = 1",
             "etcd.endpoints = [1]",
             "etcd.endpoints = []",
             "etcd.endpoints = ['http://a', 2]",
             "etcd.lease_ttl = true",
             "tcp.max_message_size = 1.5",
             "discovery.backend = ['mem']",
         }) {
        const Root root;
        const auto path = root.write("etc/x.toml", fmt::format("\n{}\n", line));
        const auto settings = root.load();
        ASSERT_FALSE(settings.has_value()) << line;
        EXPECT_EQ(settings.error().detail(), "settings.value") << line;
        EXPECT_TRUE(settings.error().message().starts_with(path + ":2: "))
            << settings.error().message();
    }
}

TEST(Settings, an_unknown_key_is_named_with_its_line_and_the_nearest) {
    struct Row {
        const char* text;
        const char* rest;
    };
    const Row rows[] = {
        {"num_worker_thread = 1",
         ":1: unknown key \"num_worker_thread\", did you mean \"num_worker_threads\"?"},
        {"\n\n[system]\nprot = 1", ":4: unknown key \"system.prot\", did you mean \"system.port\"?"
        },
        {"[sistem]\nport = 1", ":2: unknown key \"sistem.port\", did you mean \"system.port\"?"},
        {"[system]\nport.x = 1", ":2: unknown key \"system.port.x\", did you mean \"system.port\"?"
        },
        {"[system.port]\n", ":1: system.port = (a table, date or mixed list)"},
        {"[nothing_like_it]\n", ":1: unknown key \"nothing_like_it\""},
        {"\"a\\nb\" = 1", ":1: unknown key \"a\\x0ab\""},
    };
    for (const auto& row : rows) {
        const Root root;
        const auto path = root.write("etc/x.toml", row.text);
        const auto settings = root.load();
        ASSERT_FALSE(settings.has_value()) << row.text;
        EXPECT_TRUE(settings.error().message().starts_with(path + row.rest))
            << settings.error().message();
    }
}

TEST(Settings, a_key_given_twice_under_its_two_names_is_refused) {
    const Root root;
    root.write("etc/x.toml", "system_port = 1\n[system]\nport = 2\n");
    const auto settings = root.load();
    ASSERT_FALSE(settings.has_value());
    EXPECT_NE(settings.error().message().find("system.port is given twice"), std::string::npos);
}

TEST(Settings, broken_files_are_named_with_line_and_column) {
    const Root root;
    const auto path = root.write("etc/x.toml", "a = 1\nb = \n");
    const auto settings = root.load();
    ASSERT_FALSE(settings.has_value());
    EXPECT_EQ(settings.error().detail(), "settings.file");
    EXPECT_TRUE(settings.error().message().starts_with(path + ":2:")) << settings.error().message();
    root.write("etc/x.toml", std::string(200'000, '['));
    EXPECT_EQ(root.load().error().detail(), "settings.file");
    root.write("etc/x.toml", "a = " + std::string(200'000, '['));
    EXPECT_EQ(root.load().error().detail(), "settings.file");
    root.write("etc/x.toml", "a = \"\xff\"");
    EXPECT_EQ(root.load().error().detail(), "settings.file");
}

TEST(Settings, an_unreadable_file_is_named) {
    const Root root;
    std::filesystem::create_directories(
        root.path() / "etc" / "x.toml"
    );  // a folder where a file should be
    const auto settings = root.load();
    ASSERT_FALSE(settings.has_value());
    EXPECT_EQ(settings.error().detail(), "settings.file");
    EXPECT_NE(settings.error().message().find("x.toml"), std::string::npos);
}

TEST(Settings, other_files_hidden_files_and_missing_folders_are_left_alone) {
    const Root root;
    root.write("etc/readme.txt", "not = [toml");
    root.write("etc/.hidden.toml", "not = [toml");
    EXPECT_TRUE(root.load().has_value());
    Variables nowhere{{"DYN_CONFIG_ROOT", "/no/such/folder"}};
    EXPECT_TRUE(load(Environment{nowhere}).has_value());
}

TEST(Settings, dynamos_own_keys_are_accepted_and_said_to_do_nothing) {
    Warnings warnings;
    const Root root;
    const auto path =
        root.write("etc/runtime.toml", "num_worker_threads = 2\nsystem_enabled = true\n");
    const auto settings = root.load({{"DYN_TCP_POOL_SIZE", "7"}, {"DYN_HTTP_PORT", "1"}});
    ASSERT_TRUE(settings.has_value()) << settings.error().what();
    EXPECT_EQ(settings->runtime.num_worker_threads, 2U);
    EXPECT_EQ(
        warnings.lines,
        (std::vector<std::string>{
            path + ":2: system_enabled has no effect here",
            "without effect here: DYN_HTTP_PORT, DYN_TCP_POOL_SIZE"
        })
    );
}

TEST(Settings, an_unknown_variable_is_one_warning_with_the_nearest) {
    Warnings warnings;
    const Root root;
    ASSERT_TRUE(
        root.load({{"DYN_SYSTEM_PROT", "7"}, {"DYNAMO", "x"}, {"PATH", "/bin"}, {"DYN_MY_APP", "1"}}
        )
            .has_value()
    );
    EXPECT_EQ(
        warnings.lines,
        (std::vector<std::string>{
            "unknown variable DYN_MY_APP",
            "unknown variable DYN_SYSTEM_PROT, did you mean DYN_SYSTEM_PORT?"
        })
    );
}

TEST(Settings, known_variables_are_not_warned_of) {
    Warnings warnings;
    const Root root;
    Variables variables{{"DYN_LOGGING_CONFIG_PATH", root.write("my.toml", "log_level = 'warn'")}};
    for (const auto& key : all_keys()) {
        for (const auto variable : key.variables) variables.emplace(variable, "");
    }
    ASSERT_TRUE(root.load(variables).has_value());
    EXPECT_EQ(warnings.lines, std::vector<std::string>{});
}

TEST(Settings, the_first_of_two_variables_counts) {
    const Root root;
    const Variables both{
        {"DYN_WORKER_SETTLE_TIME", "2"}, {"DYN_GRACEFUL_SHUTDOWN_GRACE_PERIOD_SECS", "3"}
    };
    EXPECT_EQ(root.load(both)->worker.settle_time, 2s);
    EXPECT_EQ(
        root.load({{"DYN_GRACEFUL_SHUTDOWN_GRACE_PERIOD_SECS", "3"}})->worker.settle_time, 3s
    );
}

TEST(Settings, logging_files_hold_logging_only) {
    const Root root;
    root.write(
        "defaults/logging.toml",
        "log_level = 'warn'\n[log_filters]\nh2 = 'error'\n'stator::net' = 'trace'\n"
    );
    auto settings = root.load();
    ASSERT_TRUE(settings.has_value()) << settings.error().what();
    EXPECT_EQ(settings->logging.filter, "warn,h2=error,stator::net=trace");

    root.write("etc/logging.toml", "jsonl = true\n[log_filters]\nh2 = 'info'\n");
    settings = root.load();
    EXPECT_EQ(settings->logging.filter, "warn,h2=info,stator::net=trace");
    EXPECT_TRUE(settings->logging.jsonl);

    const auto extra = root.write("elsewhere/my.toml", "filter = 'debug'\n");
    settings = root.load({{"DYN_LOGGING_CONFIG_PATH", extra}});
    ASSERT_TRUE(settings.has_value()) << settings.error().what();
    EXPECT_EQ(settings->logging.filter, "debug");
    EXPECT_EQ(settings->source_of("logging.filter"), extra + ":1");

    settings = root.load({{"DYN_LOGGING_CONFIG_PATH", extra}, {"DYN_LOG", "error"}});
    EXPECT_EQ(settings->logging.filter, "error");

    const auto path = root.write("etc/logging.toml", "log_levl = 'info'\n");
    EXPECT_EQ(
        root.load().error().message(),
        path + ":1: unknown key \"log_levl\", did you mean \"log_level\"?"
    );
    root.write("etc/logging.toml", "num_worker_threads = 2\n");
    EXPECT_EQ(root.load().error().detail(), "settings.unknown_key");
    root.write("etc/logging.toml", "log_level = 3\n");
    EXPECT_EQ(root.load().error().detail(), "settings.value");
    EXPECT_EQ(
        root.load({{"DYN_LOGGING_CONFIG_PATH", "/no/such.toml"}}).error().detail(), "settings.value"
    );
    std::filesystem::remove(path);
    EXPECT_EQ(
        root.load({{"DYN_LOGGING_CONFIG_PATH", "/no/such.toml"}}).error().detail(), "settings.file"
    );
}

TEST(Settings, what_only_makes_sense_together_is_checked_together) {
    const Root root;
    const auto settings = root.load({{"DYN_MUX_SUSPECT_AFTER", "40"}});
    ASSERT_FALSE(settings.has_value());
    EXPECT_EQ(
        settings.error().message(),
        "mux.suspect_after (environment DYN_MUX_SUSPECT_AFTER) is more than mux.lost_after "
        "(default)"
    );
    EXPECT_FALSE(root.load({{"DYN_MUX_CONNECTION_WINDOW", "64KiB"}}).has_value());
    EXPECT_FALSE(root.load({{"DYN_MUX_MAX_MESSAGE_SIZE", "1GiB"}}).has_value());
}

TEST(Settings, names_and_variables_are_unique) {
    std::set<std::string_view> seen;
    for (const auto& key : all_keys()) {
        EXPECT_TRUE(seen.insert(key.name).second) << key.name;
        if (!key.flat_name.empty()) EXPECT_TRUE(seen.insert(key.flat_name).second) << key.flat_name;
        for (const auto variable : key.variables) {
            EXPECT_TRUE(seen.insert(variable).second) << variable;
            EXPECT_FALSE(is_foreign_variable(variable)) << variable;
        }
        EXPECT_TRUE(key.description.ends_with('.')) << key.name;
    }
}

TEST(Settings, entries_show_each_setting_with_value_and_source) {
    const Root root;
    const auto list = entries(root.load({{"DYN_SYSTEM_PORT", "81"}}).value());
    ASSERT_EQ(list.size(), all_keys().size());
    const auto port = std::ranges::find(list, "system.port", &Entry::name);
    ASSERT_NE(port, list.end());
    EXPECT_EQ(port->value, "81");
    EXPECT_EQ(port->source, "environment DYN_SYSTEM_PORT");
}

TEST(Settings, a_summary_names_what_differs_and_no_secret) {
    EXPECT_EQ(summary(Settings{}), "all at their defaults");
    const Root root;
    const auto line =
        summary(root.load({{"DYN_SYSTEM_PORT", "81"}, {"ETCD_AUTH_PASSWORD", "hush"}}).value());
    EXPECT_TRUE(line.contains("system.port=81 (environment DYN_SYSTEM_PORT), ")) << line;
    EXPECT_TRUE(line.contains("etcd.auth_password=")) << line;
    EXPECT_FALSE(line.contains("hush")) << line;
    EXPECT_TRUE(line.ends_with("the others at their defaults")) << line;
}

TEST(Settings, a_shown_value_reads_back_the_same) {
    // Assigns what `show` says to fresh settings, for every setting at its default.
    const Settings defaults;
    for (const auto& key : all_keys()) {
        const auto shown = key.kind.show(defaults);
        if (shown.empty() || key.name == "logging.ansi") continue;
        Settings copy;
        const Given given{
            .name = "",
            .form = Form::text,
            .text = shown,
            .items = {},
            .source = "",
            .from_variable = true
        };
        ASSERT_TRUE(key.kind.assign(copy, given)) << key.name << " = " << shown;
        EXPECT_EQ(key.kind.show(copy), shown) << key.name;
    }
}

TEST(Settings, the_process_environment_is_read) {
    const Root root;
    ASSERT_EQ(::setenv("DYN_CONFIG_ROOT", root.path().c_str(), 1), 0);
    ASSERT_EQ(::setenv("DYN_SYSTEM_PORT", "1234", 1), 0);
    const auto settings = load_from_process();
    ::unsetenv("DYN_SYSTEM_PORT");
    ::unsetenv("DYN_CONFIG_ROOT");
    ASSERT_TRUE(settings.has_value()) << settings.error().what();
    EXPECT_EQ(settings->system.port, 1234);
}

std::string text_of(const std::string& path) {
    std::ifstream stream{path, std::ios::binary};
    return {std::istreambuf_iterator<char>{stream}, {}};
}

// With STATOR_UPDATE_DOCS=1 in the environment the page is brought up to date instead.
TEST(Settings, the_documentation_shows_the_table_as_it_is) {
    const std::string path = STATOR_SOURCE_DIR "/docs/settings.md";
    const std::string begin = "<!-- table: begin -->\n";
    const std::string end = "<!-- table: end -->\n";
    auto page = text_of(path);
    const auto from = page.find(begin);
    const auto to = page.find(end);
    ASSERT_NE(from, page.npos);
    ASSERT_NE(to, page.npos);
    const auto shown = page.substr(from + begin.size(), to - from - begin.size());
    if (::getenv("STATOR_UPDATE_DOCS") != nullptr) {
        std::ofstream{path} << page.replace(from + begin.size(), shown.size(), reference_table());
        return;
    }
    EXPECT_EQ(shown, reference_table()) << "run this test with STATOR_UPDATE_DOCS=1";
}

}  // namespace
}  // namespace stator::settings
