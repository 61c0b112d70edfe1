#include "store/etcd/options.hpp"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <string>
#include <utility>

#include <fmt/format.h>

namespace stator::store {

namespace etcd {

namespace {

constexpr std::uint16_t usual_port = 2379;

std::unexpected<Error> refuse(std::string why) {
    return fail(ErrorCode::invalid_request, "store.options", std::move(why));
}

/// In place: what a file holds instead of its name.
Result<void> read_pem(std::string_view setting, std::string& text) {
    if (text.empty() || text.contains("-----BEGIN ")) return {};
    std::ifstream file{text, std::ios::binary};
    std::string content{std::istreambuf_iterator<char>{file}, {}};
    if (!file.good() && !file.eof())
        return refuse(fmt::format("{}: {} cannot be read", setting, text));
    if (!content.contains("-----BEGIN "))
        return refuse(fmt::format("{}: {} is no PEM file", setting, text));
    text = std::move(content);
    return {};
}

Result<void> check_credentials(const EtcdOptions& options) {
    if (options.username.empty() && !options.password.empty())
        return refuse("ETCD_AUTH_PASSWORD is set without ETCD_AUTH_USERNAME");
    if (options.client_cert.empty() != options.client_key.empty())
        return refuse("ETCD_AUTH_CLIENT_CERT and ETCD_AUTH_CLIENT_KEY are of use together only");
    return {};
}

}  // namespace

Result<Endpoint> parse_endpoint(std::string_view text) {
    Endpoint endpoint;
    auto rest = text;
    if (rest.starts_with("https://")) {
        endpoint.tls = true;
        rest.remove_prefix(8);
    } else if (rest.starts_with("http://")) {
        rest.remove_prefix(7);
    } else {
        return refuse(fmt::format("{} does not begin with http:// or https://", text));
    }
    if (rest.ends_with('/')) rest.remove_suffix(1);
    if (rest.empty() || rest.contains('/') || rest.contains('@'))
        return refuse(fmt::format("{} is not http://host:port", text));
    const bool has_port = rest.rfind(':') != rest.npos && rest.back() != ']';
    const auto full = has_port ? std::string{rest} : fmt::format("{}:{}", rest, usual_port);
    auto address = net::Address::parse(full);
    if (!address) return refuse(fmt::format("{}: {}", text, address.error().message()));
    endpoint.address = std::move(*address);
    return endpoint;
}

Result<EtcdOptions> checked(EtcdOptions options) {
    if (options.endpoints.empty()) return refuse("ETCD_ENDPOINTS names nobody");
    const bool wants_tls = !options.ca.empty() || !options.client_cert.empty();
    for (const auto& text : options.endpoints) {
        const auto endpoint = parse_endpoint(text);
        if (!endpoint) return std::unexpected{endpoint.error()};
        if (wants_tls && !endpoint->tls)
            return refuse(fmt::format(
                "{} is not https://, yet ETCD_AUTH_CA or ETCD_AUTH_CLIENT_CERT is set", text
            ));
    }
    if (options.lease_ttl < std::chrono::seconds{1}) return refuse("a lease lives at least 1 s");
    if (auto good = check_credentials(options); !good) return std::unexpected{good.error()};
    for (const auto& [setting, text] :
         {std::pair{"ETCD_AUTH_CA", &options.ca},
          std::pair{"ETCD_AUTH_CLIENT_CERT", &options.client_cert},
          std::pair{"ETCD_AUTH_CLIENT_KEY", &options.client_key}}) {
        if (auto read = read_pem(setting, *text); !read) return std::unexpected{read.error()};
    }
    return options;
}

}  // namespace etcd

Result<EtcdOptions> EtcdOptions::from_settings(const settings::EtcdSettings& settings) {
    EtcdOptions options;
    options.endpoints = settings.endpoints;
    options.username = settings.auth_username;
    options.password = settings.auth_password;
    options.ca = settings.auth_ca;
    options.client_cert = settings.auth_client_cert;
    options.client_key = settings.auth_client_key;
    options.lease_ttl = settings.lease_ttl;
    options.startup_timeout = settings.startup_connect_timeout;
    options.call_timeout = settings.call_timeout;
    options.ping_interval = settings.keepalive_interval;
    options.ping_timeout = settings.keepalive_timeout;
    options.module = settings.module;
    return etcd::checked(std::move(options));
}

std::string end_of_prefix(std::string_view prefix) {
    std::string end{prefix};
    while (!end.empty() && static_cast<unsigned char>(end.back()) == 0xff) end.pop_back();
    if (end.empty()) return std::string(1, '\0');
    end.back() = static_cast<char>(static_cast<unsigned char>(end.back()) + 1);
    return end;
}

}  // namespace stator::store
