// The settings of those who look after a process.
#include <array>

#include "settings/table.hpp"

namespace stator::settings {

namespace {

bool is_collector(std::string_view text) {
    return text.starts_with("http://") || text.starts_with("https://");
}
bool is_not_empty(std::string_view text) { return !text.empty(); }

}  // namespace

void add_control_keys(std::vector<Key>& keys) {
    keys.push_back(
        {"worker.remote_control",
         "",
         {"DYN_WORKER_REMOTE_CONTROL"},
         boolean([](auto& s) -> auto& { return s.worker.remote_control; }),
         "",
         "Whoever can reach the request port or the status server may drain and resume what is "
         "served; under TLS only with a client certificate."}
    );
    keys.push_back(
        {"worker.descriptor_limit",
         "",
         {"DYN_WORKER_DESCRIPTOR_LIMIT"},
         integer([](auto& s) -> auto& { return s.worker.descriptor_limit; }, 0, 1 << 30),
         "",
         "The soft limit of open descriptors is raised to this at start, or to the hard limit if "
         "that is less; 0: left as it is."}
    );
}

void add_lease_keys(std::vector<Key>& keys) {
    keys.push_back(
        {"worker.on_lease_lost",
         "",
         {"DYN_WORKER_ON_LEASE_LOST"},
         choice(
             [](auto& s) -> auto& { return s.worker.on_lease_lost; },
             std::array<std::string_view, 2>{"recover", "shutdown"}
         ),
         "",
         "What a process does whose lease the store has dropped, or could not renew for as long as "
         "it lasts: get a new one and publish everything again, or end as if it had been asked to."}
    );
    keys.push_back(
        {"worker.revoke",
         "",
         {"DYN_WORKER_REVOKE"},
         choice(
             [](auto& s) -> auto& { return s.worker.revoke; },
             std::array<std::string_view, 2>{"last", "immediate"}
         ),
         "",
         "When a process that ends revokes its lease: after its requests, since locks and barriers "
         "may hang on it, or as soon as it is asked to end."}
    );
}

void add_logging_keys(std::vector<Key>& keys) {
    keys.push_back(
        {"logging.filter",
         "",
         {"DYN_LOG"},
         text(
             [](auto& s) -> auto& { return s.logging.filter; },
             "a log filter such as info,stator::transport=debug",
             is_not_empty
         ),
         "",
         "What is logged: a level, then target=level for parts."}
    );
    keys.push_back(
        {"logging.jsonl",
         "",
         {"DYN_LOGGING_JSONL"},
         boolean([](auto& s) -> auto& { return s.logging.jsonl; }),
         "",
         "One JSON object per line instead of text."}
    );
    keys.push_back(
        {"logging.ansi",
         "",
         {"DYN_SDK_DISABLE_ANSI_LOGGING"},
         boolean([](auto& s) -> auto& { return s.logging.ansi; }, true),
         "",
         "Colours on a terminal. The variable switches them off."}
    );
    keys.push_back(
        {"logging.local_time",
         "",
         {"DYN_LOG_USE_LOCAL_TZ"},
         boolean([](auto& s) -> auto& { return s.logging.local_time; }),
         "",
         "Times in the local zone instead of UTC."}
    );
    keys.push_back(
        {"logging.span_events",
         "",
         {"DYN_LOGGING_SPAN_EVENTS"},
         boolean([](auto& s) -> auto& { return s.logging.span_events; }),
         "",
         "A line when a request that is served begins, and one when it has ended."}
    );
}

void add_log_shipping_keys(std::vector<Key>& keys) {
    keys.push_back(
        {"logging.otlp_endpoint",
         "",
         {"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT"},
         text(
             [](auto& s) -> auto& { return s.logging.otlp_endpoint; },
             "a URL with http or https",
             is_collector
         ),
         "",
         "Where a worker sends its log besides, by OTLP/HTTP in JSON, such as "
         "http://localhost:4318/v1/logs; nowhere unless it is set."}
    );
    keys.push_back(
        {"logging.otlp_certificate",
         "",
         {"OTEL_EXPORTER_OTLP_LOGS_CERTIFICATE", "OTEL_EXPORTER_OTLP_CERTIFICATE"},
         text(
             [](auto& s) -> auto& { return s.logging.otlp_certificate; },
             "the path of a PEM file",
             is_not_empty
         ),
         "",
         "The authority whose certificate an https collector has."}
    );
    keys.push_back(
        {"logging.service_name",
         "",
         {"OTEL_SERVICE_NAME"},
         text([](auto& s) -> auto& { return s.logging.service_name; }, "a name", is_not_empty),
         "",
         "What this process is called there."}
    );
}

}  // namespace stator::settings
