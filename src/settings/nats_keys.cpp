// The settings of NATS.
#include <chrono>

#include "settings/table.hpp"

namespace stator::settings {

namespace {

using namespace std::chrono_literals;

constexpr Duration day = 24h;

bool is_nats_url(std::string_view text) {
    return text.starts_with("nats://") || text.starts_with("tls://");
}
bool is_given(std::string_view text) { return !text.empty(); }

void add_identity_keys(std::vector<Key>& keys) {
    const auto add =
        [&](std::string_view name, std::string_view variable, Kind kind, std::string_view meaning) {
            keys.push_back({name, "", {variable}, std::move(kind), "", meaning});
        };
    add("nats.auth_username",
        "NATS_AUTH_USERNAME",
        text([](auto& s) -> auto& { return s.nats.auth_username; }, "a name, or nothing", is_given),
        "Who we are to NATS. The first counts that is set of user, token, nkey and credentials; "
        "with none of them it is the user \"user\" with that password.");
    add("nats.auth_password",
        "NATS_AUTH_PASSWORD",
        secret([](auto& s) -> auto& { return s.nats.auth_password; }),
        "The password of that user.");
    add("nats.auth_token",
        "NATS_AUTH_TOKEN",
        secret([](auto& s) -> auto& { return s.nats.auth_token; }),
        "The token that NATS wants.");
    add("nats.auth_nkey",
        "NATS_AUTH_NKEY",
        secret([](auto& s) -> auto& { return s.nats.auth_nkey; }),
        "The seed of our nkey.");
    add("nats.auth_credentials_file",
        "NATS_AUTH_CREDENTIALS_FILE",
        text(
            [](auto& s) -> auto& { return s.nats.auth_credentials_file; },
            "a file, or nothing",
            is_given
        ),
        "The file of our JWT and seed.");
}

void add_tls_keys(std::vector<Key>& keys) {
    const auto add_file =
        [&](std::string_view name, std::string_view variable, auto field, std::string_view meaning
        ) {
            keys.push_back(
                {name, "", {variable}, text(field, "a file, or nothing", is_given), "", meaning}
            );
        };
    add_file(
        "nats.tls_ca_cert_path",
        "NATS_TLS_CA_CERT_PATH",
        [](auto& s) -> auto& { return s.nats.tls_ca_cert_path; },
        "The server must have a certificate of these authorities instead of the system's."
    );
    add_file(
        "nats.tls_client_cert_path",
        "NATS_TLS_CLIENT_CERT_PATH",
        [](auto& s) -> auto& { return s.nats.tls_client_cert_path; },
        "The certificate that the server is shown, with its chain."
    );
    add_file(
        "nats.tls_client_key_path",
        "NATS_TLS_CLIENT_KEY_PATH",
        [](auto& s) -> auto& { return s.nats.tls_client_key_path; },
        "The key of that certificate."
    );
    keys.push_back(
        {"nats.tls_insecure",
         "",
         {"NATS_TLS_INSECURE"},
         boolean([](auto& s) -> auto& { return s.nats.tls_insecure; }),
         "",
         "The server may show any certificate."}
    );
}

}  // namespace

void add_nats_keys(std::vector<Key>& keys) {
    keys.push_back(
        {"nats.server",
         "",
         {"NATS_SERVER"},
         text(
             [](auto& s) -> auto& { return s.nats.server; },
             "a nats:// or tls:// address",
             is_nats_url
         ),
         "",
         "The NATS server; several of one cluster with commas between them."}
    );
    add_identity_keys(keys);
    add_tls_keys(keys);
    keys.push_back(
        {"nats.startup_connect_timeout",
         "",
         {"NATS_STARTUP_CONNECT_TIMEOUT_SECONDS"},
         duration([](auto& s) -> auto& { return s.nats.startup_connect_timeout; }, 1ms, day),
         "",
         "How long a process that starts waits for its first connection to NATS."}
    );
    keys.push_back(
        {"nats.request_timeout",
         "",
         {"DYN_NATS_REQUEST_TIMEOUT_SECS"},
         duration([](auto& s) -> auto& { return s.nats.request_timeout; }, 0s, day),
         "",
         "How long an answer may take to a request that has no limit of its own; 0: 10 s."}
    );
    keys.push_back(
        {"nats.module",
         "",
         {"DYN_NATS_MODULE"},
         text([](auto& s) -> auto& { return s.nats.module; }, "a file, or nothing", is_given),
         "",
         "The module that speaks with NATS, where it is not beside the program."}
    );
}

}  // namespace stator::settings
