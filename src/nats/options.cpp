#include "stator/nats/options.hpp"

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string_view>
#include <utility>

#include <fmt/format.h>

namespace stator::nats {

namespace {

std::unexpected<Error> refuse(std::string why) {
    return fail(ErrorCode::invalid_request, "nats.options", std::move(why));
}

/// Each of the servers, by `good`.
template <class Good>
bool all_servers(std::string_view servers, Good good) {
    for (;;) {
        const auto comma = servers.find(',');
        if (!good(servers.substr(0, comma))) return false;
        if (comma == servers.npos) return true;
        servers.remove_prefix(comma + 1);
    }
}

bool is_secure(std::string_view server) { return server.starts_with("tls://"); }

bool is_server(std::string_view server) {
    for (const std::string_view scheme : {"nats://", "tls://"}) {
        if (server.starts_with(scheme)) {
            const auto rest = server.substr(scheme.size());
            return !rest.empty() && rest.find_first_of(" \t\r\n") == rest.npos;
        }
    }
    return false;
}

Result<void> check_file(std::string_view variable, const std::string& file) {
    std::error_code problem;
    if (file.empty() || std::filesystem::is_regular_file(file, problem)) return {};
    return refuse(fmt::format("{}: {} is no file", variable, file));
}

/// Else nats.c would try for as long as for a server that is not there.
Result<void> check_credentials(const std::string& file) {
    if (file.empty()) return {};
    std::ifstream stream{file};
    const std::string text{std::istreambuf_iterator<char>{stream}, {}};
    const bool whole = text.find("BEGIN NATS USER JWT") != text.npos &&
                       text.find("BEGIN USER NKEY SEED") != text.npos;
    if (whole) return {};
    return refuse(fmt::format("NATS_AUTH_CREDENTIALS_FILE: {} has no user's JWT and seed", file));
}

}  // namespace

bool ClientOptions::wants_tls() const noexcept {
    return is_secure(server) || !ca_file.empty() || !client_cert_file.empty() || tls_insecure;
}

Result<void> ClientOptions::check() const {
    if (!all_servers(server, is_server))
        return refuse(fmt::format("NATS_SERVER: {} is not nats://host:port", server));
    if (username.empty() != password.empty())
        return refuse("NATS_AUTH_USERNAME and NATS_AUTH_PASSWORD are of use together only");
    if (client_cert_file.empty() != client_key_file.empty()) {
        return refuse(
            "NATS_TLS_CLIENT_CERT_PATH and NATS_TLS_CLIENT_KEY_PATH are of use together only"
        );
    }
    for (const auto& [variable, file] :
         {std::pair{"NATS_AUTH_CREDENTIALS_FILE", &credentials_file},
          std::pair{"NATS_TLS_CA_CERT_PATH", &ca_file},
          std::pair{"NATS_TLS_CLIENT_CERT_PATH", &client_cert_file},
          std::pair{"NATS_TLS_CLIENT_KEY_PATH", &client_key_file}}) {
        if (auto good = check_file(variable, *file); !good) return good;
    }
    return check_credentials(credentials_file);
}

Result<ClientOptions> ClientOptions::from_settings(const settings::NatsSettings& settings) {
    ClientOptions options;
    options.server = settings.server;
    options.username = settings.auth_username;
    options.password = settings.auth_password;
    options.token = settings.auth_token;
    options.nkey = settings.auth_nkey;
    options.credentials_file = settings.auth_credentials_file;
    options.ca_file = settings.tls_ca_cert_path;
    options.client_cert_file = settings.tls_client_cert_path;
    options.client_key_file = settings.tls_client_key_path;
    options.tls_insecure = settings.tls_insecure;
    options.startup_timeout = settings.startup_connect_timeout;
    if (settings.request_timeout > Duration::zero())
        options.request_timeout = settings.request_timeout;
    options.module = settings.module;
    if (auto good = options.check(); !good) return std::unexpected{good.error()};
    return options;
}

}  // namespace stator::nats
