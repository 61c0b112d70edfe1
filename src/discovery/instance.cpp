#include "stator/discovery/instance.hpp"

#include <cstdlib>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "stator/base/text.hpp"
#include "stator/codec/json.hpp"
#include "stator/net/address.hpp"

namespace stator::discovery {

namespace {

using Document = nlohmann::ordered_json;

std::unexpected<Error> bad(std::string_view field, std::string message) {
    return fail(ErrorCode::invalid_request, fmt::format("instance.{}", field), std::move(message));
}

/// Whether a device list hides every device.
bool hides_all(const char* variable) {
    const char* value = std::getenv(variable);
    if (value == nullptr) return false;
    const std::string_view text{value};
    return text.empty() || text == "-1" || text == "none" || text == "void" || text == "NoDevFiles";
}

Result<std::string> required_text(const Document& document, const char* field) {
    const auto found = document.find(field);
    if (found == document.end()) return bad("missing", fmt::format("the record has no {}", field));
    if (!found->is_string()) return bad("missing", fmt::format("{} is not a string", field));
    return found->get<std::string>();
}

/// Null and absent mean the same.
const Document* optional_member(const Document& document, const char* field) {
    const auto found = document.find(field);
    return found == document.end() || found->is_null() ? nullptr : &*found;
}

Result<Transport> read_transport(const Document& document) {
    const auto* transport = optional_member(document, "transport");
    if (transport == nullptr || !transport->is_object() || transport->size() != 1) {
        return bad("transport", "transport is not an object with exactly one key");
    }
    // Not items(): its iterator holds the pair that it refers to, and would be gone.
    const auto member = transport->begin();
    const auto& name = member.key();
    const auto& value = member.value();
    if (!value.is_string()) return bad("transport", "the transport's address is not a string");
    auto address = value.get<std::string>();
    if (name == "nats_tcp") return Transport{TransportKind::nats_tcp, std::move(address)};
    if (name != "tcp")
        return bad("transport", fmt::format("unknown transport {}", quoted_text(name)));
    constexpr std::string_view scheme = "tcp://";
    if (address.starts_with(scheme)) address.erase(0, scheme.size());
    return Transport{TransportKind::tcp, std::move(address)};
}

Result<std::optional<DeviceType>> read_device(const Document& document) {
    const auto* device = optional_member(document, "device_type");
    if (device == nullptr) return std::nullopt;
    if (*device == "cuda") return DeviceType::cuda;
    if (*device == "cpu") return DeviceType::cpu;
    return bad("device_type", "unknown device_type");
}

Result<std::optional<PayloadCodec>> read_codec(const Document& document) {
    const auto* codec = optional_member(document, "request_plane_codec");
    if (codec == nullptr) return std::nullopt;
    if (*codec == "msgpack") return PayloadCodec::msgpack;
    if (*codec == "json") return PayloadCodec::json;
    return bad("codec", "unknown request_plane_codec");
}

/// What cannot be understood means that the mux is not offered.
std::optional<MuxAddress> read_mux(const Document& document) {
    const auto* field = optional_member(document, "x_stator");
    if (field == nullptr || !field->is_object()) return std::nullopt;
    const auto* address = optional_member(*field, "mux");
    const auto* versions = optional_member(*field, "versions");
    if (address == nullptr || !address->is_string()) return std::nullopt;
    if (versions == nullptr || !versions->is_array() || versions->size() != 2) return std::nullopt;
    MuxAddress mux;
    mux.address = address->get<std::string>();
    for (const auto& number : *versions) {
        if (!number.is_number_unsigned() || number.get<std::uint64_t>() > 0xFFFF)
            return std::nullopt;
    }
    mux.lowest_version = (*versions)[0].get<std::uint16_t>();
    mux.highest_version = (*versions)[1].get<std::uint16_t>();
    const auto flag = [field](const char* name) {
        const auto* value = optional_member(*field, name);
        return value != nullptr && value->is_boolean() && value->get<bool>();
    };
    mux.tls = flag("tls");
    mux.draining = flag("draining");
    if (!net::Address::parse(mux.address)) return std::nullopt;
    return mux;
}

}  // namespace

std::string_view to_string(TransportKind kind) noexcept {
    return kind == TransportKind::tcp ? "tcp" : "nats_tcp";
}

std::string_view to_string(DeviceType device) noexcept {
    return device == DeviceType::cuda ? "cuda" : "cpu";
}

DeviceType device_type_from_environment() {
    const bool hidden = hides_all("CUDA_VISIBLE_DEVICES") || hides_all("NVIDIA_VISIBLE_DEVICES");
    return hidden ? DeviceType::cpu : DeviceType::cuda;
}

std::string Instance::key() const { return instances_prefix(endpoint) + id.to_string(); }

std::string instances_prefix(const EndpointId& endpoint) {
    return fmt::format("{}/{}/", instances_bucket, endpoint.to_path());
}

Result<void> Instance::check() const {
    if (auto valid = endpoint.check(); !valid)
        return std::unexpected{valid.error().with_detail("instance.endpoint")};
    if (!id) return bad("id", "an instance needs an id");
    if (transport.kind == TransportKind::tcp) {
        const auto slash = transport.address.find('/');
        const auto address =
            net::Address::parse(std::string_view{transport.address}.substr(0, slash));
        if (slash == std::string::npos || !address || address->port == 0 ||
            !address->is_numeric()) {
            return bad(
                "transport",
                fmt::format(
                    "{} is not numeric-ip:port/path, which clients need",
                    quoted_text(transport.address)
                )
            );
        }
    } else if (transport.address.empty()) {
        return bad("transport", "an empty subject");
    }
    if (!mux) return {};
    const auto address = net::Address::parse(mux->address);
    if (!address || address->port == 0 || address->is_wildcard()) {
        return bad(
            "mux", fmt::format("{} is not host:port of somebody", quoted_text(mux->address))
        );
    }
    return {};
}

Result<InstanceKey> parse_instance_key(std::string_view key) {
    const auto wrong = [&] {
        return bad(
            "key",
            fmt::format("{} is not {}/ns/component/endpoint/id", quoted_text(key), instances_bucket)
        );
    };
    auto rest = key;
    if (!rest.starts_with(instances_bucket)) return wrong();
    rest.remove_prefix(instances_bucket.size());
    std::vector<std::string_view> parts;
    while (!rest.empty()) {
        if (rest.front() != '/') return wrong();
        rest.remove_prefix(1);
        const auto end = std::min(rest.find('/'), rest.size());
        parts.push_back(rest.substr(0, end));
        rest.remove_prefix(end);
    }
    if (parts.size() != 4) return wrong();
    auto id = InstanceId::parse(parts[3]);
    if (!id) return wrong();
    return InstanceKey{{std::string{parts[0]}, std::string{parts[1]}, std::string{parts[2]}}, *id};
}

Result<std::string> to_record(const Instance& instance) {
    Document document;
    document["type"] = "Endpoint";
    document["component"] = instance.endpoint.component;
    document["endpoint"] = instance.endpoint.endpoint;
    document["namespace"] = instance.endpoint.namespace_;
    document["instance_id"] = instance.id.value();
    document["transport"] =
        Document{{to_string(instance.transport.kind), instance.transport.address}};
    if (instance.device_type) document["device_type"] = to_string(*instance.device_type);
    if (instance.request_plane_codec)
        document["request_plane_codec"] = to_string(*instance.request_plane_codec);
    if (const auto& mux = instance.mux) {
        Document field;
        field["mux"] = mux->address;
        field["versions"] = Document::array({mux->lowest_version, mux->highest_version});
        field["tls"] = mux->tls;
        if (mux->draining) field["draining"] = true;
        document["x_stator"] = std::move(field);
    }
    return encode_json(document);
}

Result<Instance> from_record(std::string_view key, std::string_view record) {
    const auto names = parse_instance_key(key);
    if (!names) return std::unexpected{names.error()};
    const auto document = decode_json(record);
    if (!document) return std::unexpected{document.error().with_detail("instance.json")};
    if (!document->is_object()) return bad("json", "the record is not an object");
    const auto type = required_text(*document, "type");
    if (!type) return std::unexpected{type.error()};
    if (*type != "Endpoint")
        return bad("type", fmt::format("a record of type {}", quoted_text(*type)));

    Instance instance;
    for (const auto& [field, part] : {
             std::pair{"namespace", &instance.endpoint.namespace_},
             std::pair{"component", &instance.endpoint.component},
             std::pair{"endpoint", &instance.endpoint.endpoint},
         }) {
        auto text = required_text(*document, field);
        if (!text) return std::unexpected{text.error()};
        *part = std::move(*text);
    }
    if (instance.endpoint != names->endpoint)
        return bad("key", "the record's names are not those of its key");
    const auto* id = optional_member(*document, "instance_id");
    if (id == nullptr || !id->is_number_unsigned())
        return bad("missing", "instance_id is not an unsigned number");
    instance.id = names->id;  // removal goes by the key, so the key says who it is

    auto transport = read_transport(*document);
    if (!transport) return std::unexpected{transport.error()};
    instance.transport = std::move(*transport);
    auto device = read_device(*document);
    if (!device) return std::unexpected{device.error()};
    instance.device_type = *device;
    auto codec = read_codec(*document);
    if (!codec) return std::unexpected{codec.error()};
    instance.request_plane_codec = *codec;
    instance.mux = read_mux(*document);
    return instance;
}

std::string to_listing(const Instance& instance) {
    Document document;
    document["namespace"] = instance.endpoint.namespace_;
    document["component"] = instance.endpoint.component;
    document["endpoint"] = instance.endpoint.endpoint;
    document["instance_id"] = instance.id.to_string();
    document["state"] = instance.draining() ? "draining" : "ready";
    Document transports;
    transports[std::string{to_string(instance.transport.kind)}] = instance.transport.address;
    if (instance.mux) transports["mux"] = instance.mux->address;
    document["transports"] = std::move(transports);
    return document.dump(-1, ' ', false, Document::error_handler_t::replace);
}

}  // namespace stator::discovery
