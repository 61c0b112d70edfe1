// Instances as JSON.
#include <charconv>
#include <utility>

#include <fmt/format.h>

#include "discovery/listing.hpp"
#include "stator/base/text.hpp"
#include "stator/codec/value_reader.hpp"
#include "stator/codec/value_writer.hpp"
#include "stator/discovery/instance.hpp"

namespace stator::discovery {

namespace {

std::unexpected<Error> refuse(std::string_view what, std::string message) {
    return fail(ErrorCode::invalid_request, fmt::format("instance.{}", what), std::move(message));
}

template <class T>
std::unexpected<Error> not_json(const Result<T>& failed) {
    return std::unexpected<Error>{failed.error().with_detail("instance.json")};
}

template <class T>
Result<void> as_void(const Result<T>& read) {
    return read ? Result<void>{} : Result<void>{std::unexpected<Error>{read.error()}};
}

Result<void> skip(ValueReader& reader);

/// Skips the values that `next` says are there.
template <class Next>
Result<void> skip_each(ValueReader& reader, Next next) {
    for (;;) {
        const auto more = next();
        if (!more || !*more) return as_void(more);
        if (auto skipped = skip(reader); !skipped) return skipped;
    }
}

/// Reads a value of any kind and forgets it. The reader bounds the depth.
Result<void> skip(ValueReader& reader) {
    const auto kind = reader.peek();
    if (!kind) return std::unexpected<Error>{kind.error()};
    switch (*kind) {
        case ValueKind::null:
            return reader.null();
        case ValueKind::boolean:
            return as_void(reader.boolean());
        case ValueKind::number:
            return as_void(reader.any_number());
        case ValueKind::string:
            return as_void(reader.string());
        case ValueKind::binary:
            return as_void(reader.binary());
        case ValueKind::array:
            if (auto begun = reader.begin_array(); !begun) return as_void(begun);
            return skip_each(reader, [&] { return reader.next_item(); });
        case ValueKind::map:
            if (auto begun = reader.begin_map(); !begun) return begun;
            return skip_each(reader, [&] { return reader.next_key(); });
    }
    return refuse("json", "a value of an unknown kind");
}

/// The value if it is of that kind; otherwise nothing, and it has been skipped.
Result<std::optional<std::string>> string_or_skip(ValueReader& reader) {
    const auto kind = reader.peek();
    if (!kind) return not_json(kind);
    if (*kind == ValueKind::string) {
        auto text = reader.string();
        if (!text) return not_json(text);
        return std::move(*text);
    }
    if (auto skipped = skip(reader); !skipped) return not_json(skipped);
    return std::nullopt;
}

Result<std::optional<bool>> boolean_or_skip(ValueReader& reader) {
    const auto kind = reader.peek();
    if (!kind) return not_json(kind);
    if (*kind == ValueKind::boolean) {
        auto value = reader.boolean();
        if (!value) return not_json(value);
        return *value;
    }
    if (auto skipped = skip(reader); !skipped) return not_json(skipped);
    return std::nullopt;
}

/// What the record says so far, on the way through the document.
struct Draft {
    std::optional<std::string> type;
    std::optional<std::string> component;
    std::optional<std::string> endpoint;
    std::optional<std::string> namespace_;
    std::optional<std::uint64_t> id;
    std::optional<Transport> transport;
    std::optional<DeviceType> device_type;
    std::optional<PayloadCodec> codec;
    std::optional<MuxAddress> mux;
};

Result<void> read_text(
    ValueReader& reader, std::optional<std::string>& into, std::string_view name
) {
    auto text = string_or_skip(reader);
    if (!text) return std::unexpected<Error>{text.error()};
    if (!*text) return refuse("missing", fmt::format("{} is no string", name));
    into = std::move(*text);
    return {};
}

/// Null counts as absent.
Result<std::optional<std::string>> read_choice(ValueReader& reader, std::string_view name) {
    const auto kind = reader.peek();
    if (!kind) return not_json(kind);
    if (*kind == ValueKind::null) {
        if (auto read = reader.null(); !read) return not_json(read);
        return std::nullopt;
    }
    auto text = string_or_skip(reader);
    if (text && !*text) return refuse(name, fmt::format("{} is no string", name));
    return text;
}

Result<void> read_device_type(ValueReader& reader, Draft& draft) {
    const auto text = read_choice(reader, "device_type");
    if (!text) return std::unexpected<Error>{text.error()};
    draft.device_type.reset();
    if (!*text) return {};
    if (**text == "cuda") draft.device_type = DeviceType::cuda;
    if (**text == "cpu") draft.device_type = DeviceType::cpu;
    if (!draft.device_type)
        return refuse("device_type", fmt::format("unknown device type {}", quoted_text(**text)));
    return {};
}

Result<void> read_codec(ValueReader& reader, Draft& draft) {
    const auto text = read_choice(reader, "codec");
    if (!text) return std::unexpected<Error>{text.error()};
    draft.codec.reset();
    if (!*text) return {};
    draft.codec = payload_codec_from_name(**text);
    if (!draft.codec || draft.codec == PayloadCodec::raw)
        return refuse("codec", fmt::format("unknown request codec {}", quoted_text(**text)));
    return {};
}

Result<void> read_transport(ValueReader& reader, Draft& draft) {
    const auto kind = reader.peek();
    if (!kind) return not_json(kind);
    if (*kind != ValueKind::map) return refuse("transport", "the transport is no object");
    if (auto begun = reader.begin_map(); !begun) return not_json(begun);
    draft.transport.reset();
    for (;;) {
        auto name = reader.next_key();
        if (!name) return not_json(name);
        if (!*name) break;
        const bool known = **name == "tcp" || **name == "nats_tcp";
        if (!known || draft.transport)
            return refuse(
                "transport",
                fmt::format(
                    "a transport has exactly one key, tcp or nats_tcp; found {}",
                    quoted_text(**name)
                )
            );
        auto address = string_or_skip(reader);
        if (!address) return std::unexpected<Error>{address.error()};
        if (!*address) return refuse("transport", "the transport's address is no string");
        draft.transport = Transport{
            **name == "tcp" ? TransportKind::tcp : TransportKind::nats_tcp, std::move(**address)
        };
    }
    if (!draft.transport) return refuse("transport", "the transport is empty");
    return {};
}

/// An unsigned number; nothing, and skipped, if it is anything else.
Result<std::optional<std::uint64_t>> read_unsigned(ValueReader& reader) {
    const auto kind = reader.peek();
    if (!kind) return not_json(kind);
    if (*kind != ValueKind::number) {
        if (auto skipped = skip(reader); !skipped) return not_json(skipped);
        return std::nullopt;
    }
    const auto number = reader.any_number();
    if (!number) return not_json(number);
    if (number->kind != Number::Kind::unsigned_integer) return std::nullopt;
    return number->unsigned_integer;
}

/// [lowest, highest]; nothing if it is anything else.
Result<std::optional<std::pair<std::uint16_t, std::uint16_t>>> read_versions(ValueReader& reader) {
    const auto kind = reader.peek();
    if (!kind) return not_json(kind);
    if (*kind != ValueKind::array) {
        if (auto skipped = skip(reader); !skipped) return not_json(skipped);
        return std::nullopt;
    }
    if (auto begun = reader.begin_array(); !begun) return not_json(begun);
    std::vector<std::uint64_t> versions;
    bool plain = true;
    for (;;) {
        const auto more = reader.next_item();
        if (!more) return not_json(more);
        if (!*more) break;
        const auto number = read_unsigned(reader);
        if (!number) return std::unexpected<Error>{number.error()};
        plain = plain && number->has_value();
        if (*number && versions.size() < 3) versions.push_back(**number);
    }
    if (!plain || versions.size() != 2 || versions[0] == 0 || versions[0] > versions[1] ||
        versions[1] > 0xFFFF)
        return std::nullopt;
    return std::pair{
        static_cast<std::uint16_t>(versions[0]), static_cast<std::uint16_t>(versions[1])
    };
}

/// 0 if it is none.
std::uint64_t epoch_of(std::string_view text) {
    std::uint64_t epoch = 0;
    const auto* const end = text.data() + text.size();
    const auto read = std::from_chars(text.data(), end, epoch, 16);
    return read.ec == std::errc{} && read.ptr == end ? epoch : 0;
}

/// The fields of `x_stator` on the way through it.
struct MuxDraft {
    std::optional<std::string> address;
    std::optional<std::pair<std::uint16_t, std::uint16_t>> versions;
    MuxAddress mux;
};

Result<void> read_mux_field(ValueReader& reader, std::string_view name, MuxDraft& draft) {
    if (name == "mux") {
        auto text = string_or_skip(reader);
        if (!text) return std::unexpected<Error>{text.error()};
        draft.address = std::move(*text);
    } else if (name == "versions") {
        const auto range = read_versions(reader);
        if (!range) return std::unexpected<Error>{range.error()};
        draft.versions = *range;
    } else if (name == "tls" || name == "draining") {
        const auto flag = boolean_or_skip(reader);
        if (!flag) return std::unexpected<Error>{flag.error()};
        (name == "tls" ? draft.mux.tls : draft.mux.draining) = flag->value_or(false);
    } else if (name == "epoch") {
        const auto text = string_or_skip(reader);
        if (!text) return std::unexpected<Error>{text.error()};
        draft.mux.epoch = text->has_value() ? epoch_of(**text) : 0;
    } else if (const auto skipped = skip(reader); !skipped) {
        return not_json(skipped);
    }
    return {};
}

/// Whatever it holds, it never makes the record unusable: then the mux is not offered.
Result<void> read_mux(ValueReader& reader, Draft& draft) {
    const auto kind = reader.peek();
    if (!kind) return not_json(kind);
    draft.mux.reset();
    if (*kind != ValueKind::map) {
        if (const auto skipped = skip(reader); !skipped) return not_json(skipped);
        return {};
    }
    if (const auto begun = reader.begin_map(); !begun) return not_json(begun);
    MuxDraft fields;
    for (;;) {
        const auto name = reader.next_key();
        if (!name) return not_json(name);
        if (!*name) break;
        if (auto read = read_mux_field(reader, **name, fields); !read) return read;
    }
    if (!fields.address || fields.address->empty() || !fields.versions) return {};
    fields.mux.address = std::move(*fields.address);
    fields.mux.lowest_version = fields.versions->first;
    fields.mux.highest_version = fields.versions->second;
    draft.mux = std::move(fields.mux);
    return {};
}

Result<void> read_id(ValueReader& reader, Draft& draft) {
    const auto kind = reader.peek();
    if (!kind) return not_json(kind);
    if (*kind != ValueKind::number) return refuse("missing", "instance_id is no number");
    const auto number = reader.any_number();
    if (!number) return not_json(number);
    if (number->kind != Number::Kind::unsigned_integer)
        return refuse("missing", "instance_id is no unsigned integer of 64 bits");
    draft.id = number->unsigned_integer;
    return {};
}

Result<void> read_field(ValueReader& reader, std::string_view name, Draft& draft) {
    if (name == "type") return read_text(reader, draft.type, name);
    if (name == "component") return read_text(reader, draft.component, name);
    if (name == "endpoint") return read_text(reader, draft.endpoint, name);
    if (name == "namespace") return read_text(reader, draft.namespace_, name);
    if (name == "instance_id") return read_id(reader, draft);
    if (name == "transport") return read_transport(reader, draft);
    if (name == "device_type") return read_device_type(reader, draft);
    if (name == "request_plane_codec") return read_codec(reader, draft);
    if (name == "x_stator") return read_mux(reader, draft);
    if (auto skipped = skip(reader); !skipped) return not_json(skipped);
    return {};
}

Result<Draft> read_draft(std::string_view record) {
    ValueReader reader{
        Bytes::copy_of(record), PayloadCodec::json, DecodeLimits{.max_size = 1U << 20U}
    };
    if (auto begun = reader.begin_map(); !begun) return not_json(begun);
    Draft draft;
    for (;;) {
        const auto name = reader.next_key();
        if (!name) return not_json(name);
        if (!*name) break;
        if (auto read = read_field(reader, **name, draft); !read)
            return std::unexpected<Error>{read.error()};
    }
    if (auto ended = reader.finish(); !ended) return not_json(ended);
    return draft;
}

Result<void> check_complete(const Draft& draft) {
    const std::pair<std::string_view, bool> fields[] = {
        {"type", draft.type.has_value()},
        {"component", draft.component.has_value()},
        {"endpoint", draft.endpoint.has_value()},
        {"namespace", draft.namespace_.has_value()},
        {"instance_id", draft.id.has_value()},
        {"transport", draft.transport.has_value()},
    };
    for (const auto& [name, present] : fields) {
        if (!present) return refuse("missing", fmt::format("the record has no {}", name));
    }
    if (*draft.type != "Endpoint")
        return refuse("type", fmt::format("the record is a {}", quoted_text(*draft.type)));
    return {};
}

}  // namespace

Result<Instance> from_record(std::string_view key, std::string_view record) {
    const auto named = parse_instance_key(key);
    if (!named) return std::unexpected<Error>{named.error()};
    auto draft = read_draft(record);
    if (!draft) return std::unexpected<Error>{draft.error()};
    if (auto complete = check_complete(*draft); !complete)
        return std::unexpected<Error>{complete.error()};
    Instance instance{
        .endpoint =
            EndpointId{
                std::move(*draft->namespace_),
                std::move(*draft->component),
                std::move(*draft->endpoint)
            },
        .id = InstanceId{*draft->id},
        .transport = std::move(*draft->transport),
        .device_type = draft->device_type,
        .request_plane_codec = draft->codec,
        .mux = std::move(draft->mux),
    };
    if (instance.endpoint != named->endpoint)
        return refuse(
            "key",
            fmt::format(
                "the record is about {}, its key about {}",
                quoted_text(instance.endpoint.to_string()),
                quoted_text(named->endpoint.to_string())
            )
        );
    return instance;
}

namespace {

void write_text(ValueWriter& out, std::string_view name, std::string_view value) {
    out.key(name);
    out.string(value);
}

void write_mux(ValueWriter& out, const MuxAddress& mux) {
    out.key("x_stator");
    out.begin_map(3 + (mux.draining ? 1U : 0U) + (mux.epoch != 0 ? 1U : 0U));
    write_text(out, "mux", mux.address);
    out.key("versions");
    out.begin_array(2);
    out.unsigned_integer(mux.lowest_version);
    out.unsigned_integer(mux.highest_version);
    out.end_array();
    out.key("tls");
    out.boolean(mux.tls);
    if (mux.draining) {
        out.key("draining");
        out.boolean(true);
    }
    // As text: other readers of JSON have no integers of 64 bits.
    if (mux.epoch != 0) write_text(out, "epoch", fmt::format("{:016x}", mux.epoch));
    out.end_map();
}

}  // namespace

Result<std::string> to_record(const Instance& instance) {
    ValueWriter out{PayloadCodec::json, 384};
    const std::size_t optional_fields = (instance.device_type ? 1U : 0U) +
                                        (instance.request_plane_codec ? 1U : 0U) +
                                        (instance.mux ? 1U : 0U);
    out.begin_map(6 + optional_fields);
    write_text(out, "type", "Endpoint");
    write_text(out, "component", instance.endpoint.component);
    write_text(out, "endpoint", instance.endpoint.endpoint);
    write_text(out, "namespace", instance.endpoint.namespace_);
    out.key("instance_id");
    out.unsigned_integer(instance.id.value());
    out.key("transport");
    out.begin_map(1);
    write_text(out, to_string(instance.transport.kind), instance.transport.address);
    out.end_map();
    if (instance.device_type) write_text(out, "device_type", to_string(*instance.device_type));
    if (instance.request_plane_codec)
        write_text(out, "request_plane_codec", to_string(*instance.request_plane_codec));
    if (instance.mux) write_mux(out, *instance.mux);
    out.end_map();
    const auto bytes = out.finish();
    if (!bytes) return std::unexpected<Error>{bytes.error()};
    return bytes->to_string();
}

void write_listing(ValueWriter& out, const Instance& instance) {
    write_text(out, "namespace", instance.endpoint.namespace_);
    write_text(out, "component", instance.endpoint.component);
    write_text(out, "endpoint", instance.endpoint.endpoint);
    write_text(out, "instance_id", instance.id.to_string());
    write_text(out, "state", instance.draining() ? "draining" : "ready");
    out.key("transports");
    out.begin_map(instance.mux ? 2 : 1);
    write_text(out, to_string(instance.transport.kind), instance.transport.address);
    if (instance.mux) write_text(out, "mux", instance.mux->address);
    out.end_map();
}

std::string to_listing(const Instance& instance) {
    ValueWriter out{PayloadCodec::json, 256};
    out.begin_map(listing_fields);
    write_listing(out, instance);
    out.end_map();
    return out.finish().value_or(Bytes{}).to_string();
}

}  // namespace stator::discovery
