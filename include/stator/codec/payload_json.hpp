// Opt-in: types that nlohmann::json knows become payloads. Slow to compile; include it where such
// types are served.
#pragma once

#include <exception>
#include <type_traits>
#include <utility>

#include <nlohmann/json.hpp>

#include "stator/codec/json.hpp"
#include "stator/codec/payload.hpp"

namespace stator::inline codec {

/// A document as it is.
template <>
struct PayloadValue<nlohmann::ordered_json> {
    static void write(ValueWriter& writer, const nlohmann::ordered_json& value) {
        write_document(writer, value);
    }
    static Result<nlohmann::ordered_json> read(ValueReader& reader) {
        return read_document(reader);
    }
};

/// The same with keys in alphabetical order.
template <>
struct PayloadValue<nlohmann::json> {
    static void write(ValueWriter& writer, const nlohmann::json& value) {
        write_document(writer, value);
    }
    static Result<nlohmann::json> read(ValueReader& reader) { return read_sorted_document(reader); }
};

namespace nlohmann_bridge {

template <class T, class Json>
concept WritesTo = requires(Json& document, const T& value) {
    nlohmann::adl_serializer<T>::to_json(document, value);
};

template <class T, class Json>
concept ReadsFrom = requires(const Json& document) { document.template get<T>(); };

// Functions written for nlohmann::json, as its own macros do, take no ordered_json.
template <class T>
using JsonFor =
    std::conditional_t<WritesTo<T, nlohmann::ordered_json>, nlohmann::ordered_json, nlohmann::json>;

inline Result<nlohmann::ordered_json> read(ValueReader& reader, const nlohmann::ordered_json*) {
    return read_document(reader);
}
inline Result<nlohmann::json> read(ValueReader& reader, const nlohmann::json*) {
    return read_sorted_document(reader);
}

}  // namespace nlohmann_bridge

/// Classes and enumerations that nlohmann converts: by a `to_json` and `from_json` beside the type,
/// by its macros or by an adl_serializer. What `to_json` throws becomes invalid_request
/// "payload.to_json", what `from_json` throws
/// "<codec>.from_json".
template <class T>
    requires(
        (std::is_class_v<T> || std::is_enum_v<T>) &&
        (nlohmann_bridge::WritesTo<T, nlohmann::json> ||
         nlohmann_bridge::WritesTo<T, nlohmann::ordered_json> ||
         nlohmann_bridge::ReadsFrom<T, nlohmann::json>)
    )
struct PayloadValue<T> {
    using Json = nlohmann_bridge::JsonFor<T>;

    static void write(ValueWriter& writer, const T& value)
        requires nlohmann_bridge::WritesTo<T, Json>
    {
        Json document;
        try {
            nlohmann::adl_serializer<T>::to_json(document, value);
        } catch (const std::exception& error) {
            return writer.fail_with(
                Error{ErrorCode::invalid_request, "payload.to_json", error.what()}
            );
        }
        write_document(writer, document);
    }

    static Result<T> read(ValueReader& reader)
        requires nlohmann_bridge::ReadsFrom<T, Json>
    {
        const auto document = nlohmann_bridge::read(reader, static_cast<const Json*>(nullptr));
        if (!document) return std::unexpected{document.error()};
        try {
            return document->template get<T>();
        } catch (const std::exception& error) {
            return std::unexpected{reader.error("from_json", error.what())};
        }
    }
};

}  // namespace stator::inline codec
