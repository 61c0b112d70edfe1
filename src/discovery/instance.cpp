#include "stator/discovery/instance.hpp"

#include <arpa/inet.h>

#include <array>
#include <charconv>
#include <cstdlib>

#include <fmt/format.h>

#include "stator/base/text.hpp"

namespace stator::discovery {

namespace {

std::unexpected<Error> refuse(std::string_view field, std::string message) {
    return fail(ErrorCode::invalid_request, fmt::format("instance.{}", field), std::move(message));
}

bool hides_devices(const char* variable, bool empty_hides) {
    const char* value = std::getenv(variable);  // NOLINT(concurrency-mt-unsafe): nobody sets it
    if (value == nullptr) return false;
    const std::string_view text{value};
    return text == "none" || text == "void" || (empty_hides && (text.empty() || text == "-1"));
}

/// "host" and "port" of "host:port" or "[v6]:port"; nothing if it is neither.
struct HostPort {
    std::string host;
    bool bracketed = false;
};
std::optional<HostPort> split_host_port(std::string_view text) {
    const auto colon = text.rfind(':');
    if (colon == std::string_view::npos || colon == 0) return std::nullopt;
    const auto digits = text.substr(colon + 1);
    std::uint16_t port = 0;
    const auto [end, code] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
    if (code != std::errc{} || end != digits.data() + digits.size() || port == 0)
        return std::nullopt;
    auto host = text.substr(0, colon);
    const bool bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
    if (bracketed) host = host.substr(1, host.size() - 2);
    if (!bracketed && host.contains(':')) return std::nullopt;
    if (host.find_first_of("/[] \t") != std::string_view::npos) return std::nullopt;
    return HostPort{std::string{host}, bracketed};
}

bool is_numeric(const HostPort& address) {
    std::array<unsigned char, sizeof(in6_addr)> parsed{};
    return ::inet_pton(
               address.bracketed ? AF_INET6 : AF_INET, address.host.c_str(), parsed.data()
           ) == 1;
}

Result<void> check_transport(const Transport& transport) {
    if (transport.kind == TransportKind::nats_tcp) {
        if (transport.address.empty() ||
            transport.address.find_first_of(" \t\r\n*>") != std::string::npos)
            return refuse(
                "transport", fmt::format("{} is no subject", quoted_text(transport.address))
            );
        return {};
    }
    const auto address = split_host_port(transport.host_port());
    if (!address || !is_numeric(*address))
        return refuse(
            "transport",
            fmt::format("{} does not begin with a numeric ip:port", quoted_text(transport.address))
        );
    if (transport.path().empty())
        return refuse("transport", fmt::format("{} has no path", quoted_text(transport.address)));
    return {};
}

Result<void> check_mux(const MuxAddress& mux) {
    if (!split_host_port(mux.address))
        return refuse("mux", fmt::format("{} is no host:port", quoted_text(mux.address)));
    if (mux.lowest_version == 0 || mux.lowest_version > mux.highest_version)
        return refuse(
            "mux",
            fmt::format("versions {} to {} are no range", mux.lowest_version, mux.highest_version)
        );
    return {};
}

}  // namespace

std::string_view to_string(TransportKind kind) noexcept {
    return kind == TransportKind::tcp ? "tcp" : "nats_tcp";
}

std::string_view to_string(DeviceType device) noexcept {
    return device == DeviceType::cuda ? "cuda" : "cpu";
}

DeviceType device_type_from_environment() {
    const bool hidden = hides_devices("CUDA_VISIBLE_DEVICES", true) ||
                        hides_devices("NVIDIA_VISIBLE_DEVICES", false);
    return hidden ? DeviceType::cpu : DeviceType::cuda;
}

std::string_view Transport::host_port() const noexcept {
    if (kind != TransportKind::tcp) return {};
    std::string_view text{address};
    if (text.starts_with("tcp://")) text.remove_prefix(6);
    return text.substr(0, text.find('/'));
}

std::string_view Transport::path() const noexcept {
    if (kind != TransportKind::tcp) return {};
    std::string_view text{address};
    if (text.starts_with("tcp://")) text.remove_prefix(6);
    const auto slash = text.find('/');
    return slash == std::string_view::npos ? std::string_view{} : text.substr(slash + 1);
}

std::string_view Transport::target() const noexcept {
    return kind == TransportKind::tcp ? path() : std::string_view{address};
}

std::string instances_prefix(const EndpointId& endpoint) {
    return fmt::format("{}/{}/", instances_bucket, endpoint.to_path());
}

std::string Instance::key() const { return instances_prefix(endpoint) + id.to_string(); }

Result<void> Instance::check() const {
    if (auto names = endpoint.check(); !names) return names;
    if (!id) return refuse("id", "an instance needs an id");
    if (request_plane_codec == PayloadCodec::raw)
        return refuse("codec", "requests of the Dynamo planes are json or msgpack");
    if (auto checked = check_transport(transport); !checked) return checked;
    return mux ? check_mux(*mux) : Result<void>{};
}

Result<InstanceKey> parse_instance_key(std::string_view key) {
    const auto refuse_key = [key] {
        return refuse("key", fmt::format("{} is no key of an instance", quoted_text(key, 256)));
    };
    if (!key.starts_with(instances_bucket) || key.substr(instances_bucket.size(), 1) != "/")
        return refuse_key();
    auto rest = key.substr(instances_bucket.size() + 1);
    std::array<std::string_view, 4> parts;
    for (std::size_t i = 0; i < parts.size(); ++i) {
        const auto end = i + 1 < parts.size() ? rest.find('/') : rest.size();
        if (end == std::string_view::npos || end == 0) return refuse_key();
        parts[i] = rest.substr(0, end);
        rest.remove_prefix(std::min(end + 1, rest.size()));
    }
    const auto id = InstanceId::parse(parts[3]);
    if (!id) return refuse_key();
    return InstanceKey{
        EndpointId{std::string{parts[0]}, std::string{parts[1]}, std::string{parts[2]}}, *id
    };
}

}  // namespace stator::discovery
