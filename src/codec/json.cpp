#include "stator/codec/json.hpp"

#include <algorithm>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "stator/base/text.hpp"
#include "stator/codec/value_reader.hpp"
#include "stator/codec/value_writer.hpp"

namespace stator::inline codec {

namespace {

// Inserts into the object of a document unless the key is there already.
template <class Json>
class ObjectBuilder;

// An ordered_map looks through all its keys at each insertion; a hostile object would cost n^2. It
// is a vector, so entries are appended here and larger objects keep a set of their keys.
template <>
class ObjectBuilder<nlohmann::ordered_json> {
public:
    bool add(const std::string& key, nlohmann::ordered_json value) {
        if (!is_new(key)) return false;
        entries_.emplace_back(key, std::move(value));
        return true;
    }
    nlohmann::ordered_json take() { return nlohmann::ordered_json(std::move(object_)); }

private:
    using Object = nlohmann::ordered_json::object_t;
    using Entry = Object::value_type;

    bool is_new(const std::string& key) {
        if (entries_.size() < small)
            return std::ranges::find(entries_, key, &Entry::first) == entries_.end();
        if (seen_.empty()) {
            for (const auto& entry : entries_) seen_.insert(entry.first);
        }
        return seen_.insert(key).second;
    }

    static constexpr std::size_t small = 16;
    Object object_;
    std::vector<Entry>& entries_ = object_;
    std::unordered_set<std::string> seen_;
};

template <>
class ObjectBuilder<nlohmann::json> {
public:
    bool add(const std::string& key, nlohmann::json value) {
        return object_.emplace(key, std::move(value)).second;
    }
    nlohmann::json take() { return nlohmann::json(std::move(object_)); }

private:
    nlohmann::json::object_t object_;
};

template <class Json>
Json to_json_number(const Number& number) {
    switch (number.kind) {
        case Number::Kind::negative:
            return Json(number.negative);
        case Number::Kind::unsigned_integer:
            return Json(number.unsigned_integer);
        case Number::Kind::floating:
            break;
    }
    return Json(number.floating);
}

template <class Json>
Result<Json> read_value(ValueReader& reader);

template <class Json>
Result<Json> read_array(ValueReader& reader) {
    const auto hint = reader.begin_array();
    if (!hint) return std::unexpected{hint.error()};
    typename Json::array_t items;
    while (true) {
        const auto more = reader.next_item();
        if (!more) return std::unexpected{more.error()};
        if (!*more) return Json(std::move(items));
        auto item = read_value<Json>(reader);
        if (!item) return item;
        items.push_back(std::move(*item));
    }
}

template <class Json>
Result<Json> read_object(ValueReader& reader) {
    if (auto good = reader.begin_map(); !good) return std::unexpected{std::move(good).error()};
    ObjectBuilder<Json> object;
    while (true) {
        auto key = reader.next_key();
        if (!key) return std::unexpected{std::move(key).error()};
        const auto name = std::move(*key);
        if (!name) return object.take();
        auto value = read_value<Json>(reader);
        if (!value) return value;
        if (!object.add(*name, std::move(*value))) {
            const auto message = fmt::format("the key {} came twice", quoted_text(*name));
            return std::unexpected{reader.error("duplicate_key", message)};
        }
    }
}

template <class Json, class T, class Make>
Result<Json> made_from(Result<T> value, Make make) {
    if (!value) return std::unexpected{std::move(value).error()};
    return make(std::move(*value));
}

template <class Json>
Json to_json_binary(const Bytes& bytes) {
    const auto view = bytes.view();
    return Json::binary({view.begin(), view.end()});
}

// Recursion is safe here and below: the reader and the writer refuse to go deeper than
// max_document_depth.
template <class Json>
Result<Json> read_value(ValueReader& reader) {
    const auto kind = reader.peek();
    if (!kind) return std::unexpected{kind.error()};
    switch (*kind) {
        case ValueKind::null:
            if (auto good = reader.null(); !good) return std::unexpected{std::move(good).error()};
            return Json(nullptr);
        case ValueKind::boolean:
            return made_from<Json>(reader.boolean(), [](bool value) { return Json(value); });
        case ValueKind::number:
            return made_from<Json>(reader.any_number(), to_json_number<Json>);
        case ValueKind::string:
            return made_from<Json>(reader.string(), [](std::string text) {
                return Json(std::move(text));
            });
        case ValueKind::binary:
            return made_from<Json>(reader.binary(), to_json_binary<Json>);
        case ValueKind::array:
            return read_array<Json>(reader);
        case ValueKind::map:
            return read_object<Json>(reader);
    }
    return std::unexpected{reader.error("type", "an unknown kind of value")};
}

template <class Json>
void write_value(ValueWriter& writer, const Json& value);

template <class Json>
void write_array(ValueWriter& writer, const typename Json::array_t& items) {
    writer.begin_array(items.size());
    for (const auto& item : items) {
        if (writer.failed()) return;
        write_value(writer, item);
    }
    writer.end_array();
}

template <class Json>
void write_object(ValueWriter& writer, const typename Json::object_t& object) {
    writer.begin_map(object.size());
    for (const auto& [key, value] : object) {
        if (writer.failed()) return;
        writer.key(key);
        write_value(writer, value);
    }
    writer.end_map();
}

template <class Json>
void write_value(ValueWriter& writer, const Json& value) {
    switch (value.type()) {
        case Json::value_t::null:
            return writer.null();
        case Json::value_t::boolean:
            return writer.boolean(value.template get<bool>());
        case Json::value_t::number_integer:
            return writer.integer(value.template get<std::int64_t>());
        case Json::value_t::number_unsigned:
            return writer.unsigned_integer(value.template get<std::uint64_t>());
        case Json::value_t::number_float:
            return writer.number(value.template get<double>());
        case Json::value_t::string:
            return writer.string(value.template get_ref<const std::string&>());
        case Json::value_t::binary:
            return writer.binary(std::as_bytes(std::span{value.get_binary()}));
        case Json::value_t::array:
            return write_array<Json>(
                writer, value.template get_ref<const typename Json::array_t&>()
            );
        case Json::value_t::object:
            return write_object<Json>(
                writer, value.template get_ref<const typename Json::object_t&>()
            );
        case Json::value_t::discarded:
            break;
    }
    writer.fail_with(Error{ErrorCode::invalid_request, "payload.structure", "a discarded value"});
}

Result<Document> decode(Bytes bytes, PayloadCodec codec, DecodeLimits limits) {
    ValueReader reader{std::move(bytes), codec, limits};
    auto document = read_document(reader);
    if (!document) return document;
    if (auto complete = reader.finish(); !complete)
        return std::unexpected{std::move(complete).error()};
    return document;
}

}  // namespace

Result<Document> read_document(ValueReader& reader) { return read_value<Document>(reader); }

Result<nlohmann::json> read_sorted_document(ValueReader& reader) {
    return read_value<nlohmann::json>(reader);
}

void write_document(ValueWriter& writer, const Document& document) {
    write_value(writer, document);
}

void write_document(ValueWriter& writer, const nlohmann::json& document) {
    write_value(writer, document);
}

Result<Document> decode_json(std::string_view text, DecodeLimits limits) {
    // The reader shares what it reads; here it reads and is gone before `text` is.
    return decode(Bytes::of_static(text), PayloadCodec::json, limits);
}

Result<Document> decode_msgpack(std::span<const std::byte> bytes, DecodeLimits limits) {
    const std::string_view view{reinterpret_cast<const char*>(bytes.data()), bytes.size()};
    return decode(Bytes::of_static(view), PayloadCodec::msgpack, limits);
}

Result<std::string> encode_json(const Document& document) {
    ValueWriter writer{PayloadCodec::json};
    write_document(writer, document);
    const auto bytes = writer.finish();
    if (!bytes) return std::unexpected{bytes.error()};
    return bytes->to_string();
}

Result<Bytes> encode_msgpack(const Document& document) {
    ValueWriter writer{PayloadCodec::msgpack};
    write_document(writer, document);
    return writer.finish();
}

}  // namespace stator::inline codec
