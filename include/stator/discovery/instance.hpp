// The record of one serving instance.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "stator/base/error.hpp"
#include "stator/base/instance_id.hpp"
#include "stator/base/names.hpp"
#include "stator/codec/payload_codec.hpp"

namespace stator::discovery {

enum class TransportKind : std::uint8_t {
    tcp = 1,       ///< "host:port/path"
    nats_tcp = 2,  ///< a NATS subject
};

/// The one Dynamo transport of a record.
struct Transport {
    TransportKind kind = TransportKind::tcp;
    std::string address;
    /// Of a tcp transport: "host:port", and the path after it, in views. Empty for others.
    std::string_view host_port() const noexcept;
    std::string_view path() const noexcept;
    /// What a request names: the path, or the subject.
    std::string_view target() const noexcept;
    friend bool operator==(const Transport&, const Transport&) = default;
};

enum class DeviceType : std::uint8_t { cuda = 1, cpu = 2 };

std::string_view to_string(TransportKind kind) noexcept;
std::string_view to_string(DeviceType device) noexcept;

/// What the original writes on this machine: cuda unless CUDA_VISIBLE_DEVICES or
/// NVIDIA_VISIBLE_DEVICES hide the devices.
DeviceType device_type_from_environment();

/// The field `x_stator`: where the mux is served, and what it speaks. Real Dynamo clients ignore
/// it.
struct MuxAddress {
    std::string address;  ///< "host:port", "[v6]:port"; the host may be a DNS name
    std::uint16_t lowest_version = 1;
    std::uint16_t highest_version = 1;
    bool tls = false;
    bool draining = false;  ///< takes no new requests; written only when true
    /// Random, of the process that wrote the record: what has the same id and the same epoch is its
    /// own. Written only when not 0.
    std::uint64_t epoch = 0;

    bool speaks(std::uint16_t version) const noexcept {
        return lowest_version <= version && version <= highest_version;
    }
    friend bool operator==(const MuxAddress&, const MuxAddress&) = default;
};

/// A value; equal records are equal values. Nested namespaces are one string with dots ("a.b"), in
/// the record as in the key: the original writes them so, and one part keeps keys of different
/// depth apart.
struct Instance {
    EndpointId endpoint;
    InstanceId id;
    Transport transport;
    std::optional<DeviceType> device_type;
    /// json or msgpack; nothing: json, as old workers mean.
    std::optional<PayloadCodec> request_plane_codec;
    std::optional<MuxAddress> mux;

    bool draining() const noexcept { return mux && mux->draining; }
    /// What requests to this instance are written in on the Dynamo planes.
    PayloadCodec codec() const noexcept { return request_plane_codec.value_or(PayloadCodec::json); }
    /// "v1/instances/{ns}/{component}/{endpoint}/{id, hex}".
    std::string key() const;
    /// Whether it may be published: strict names, an id, addresses in the form that real clients
    /// accept (numeric IP and port in `tcp`). Fails with invalid_request, detail
    /// "instance.<field>".
    Result<void> check() const;

    friend bool operator==(const Instance&, const Instance&) = default;
};

inline constexpr std::string_view instances_bucket = "v1/instances";

/// "v1/instances/{ns}/{component}/{endpoint}/": what all instances of an endpoint begin with.
std::string instances_prefix(const EndpointId& endpoint);

/// The names and the id that a key says. Fails with invalid_request, detail "instance.key".
struct InstanceKey {
    EndpointId endpoint;
    InstanceId id;
};
Result<InstanceKey> parse_instance_key(std::string_view key);

/// Compact JSON with the original's key order, `x_stator` last.
Result<std::string> to_record(const Instance& instance);

/// Reads the record under `key`. Unknown keys and their values are ignored, order and white space
/// are free. Fails with invalid_request: "instance.json" (no such document), ".missing", ".type"
/// (not an endpoint's), ".transport" (not exactly one known key), ".device_type", ".codec", ".key"
/// (the names differ from the key's). An id that differs from the key's is accepted, as real
/// clients do; an `x_stator` that cannot be understood means that the mux is not offered.
Result<Instance> from_record(std::string_view key, std::string_view record);

/// One object for `stator ls --json` and friends: namespace, component, endpoint, instance_id
/// (hex), state (ready, draining), transports.
std::string to_listing(const Instance& instance);

}  // namespace stator::discovery
