// Captured exchanges with the real frontend.
#pragma once

#include <fstream>
#include <stdexcept>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "stator/codec/payload.hpp"

namespace stator::llm::test {

using Json = nlohmann::ordered_json;

inline Json capture(const std::string& name) {
    std::ifstream file{std::string{STATOR_CAPTURES} + "/" + name};
    return Json::parse(file);
}

/// The message of that name as it was decoded.
inline Json golden(std::string_view name) {
    for (const auto& message : capture("golden-openai.json")["messages"]) {
        if (message["name"] == name) return message["decoded"];
    }
    throw std::invalid_argument{std::string{name}};
}

inline Json golden_request(std::string_view name) {
    return golden(name)["two_part"]["body"]["value"];
}
inline Json golden_item(std::string_view name) {
    return golden(name)["body"]["value"]["data"]["data"];
}

template <class T>
Result<T> read(const Json& document) {
    return Payload<T>::decode(Bytes::copy_of(document.dump()), PayloadCodec::json);
}
template <class T>
Json written(const T& value) {
    return Json::parse(Payload<T>::encode(value, PayloadCodec::json).value().to_string());
}

}  // namespace stator::llm::test
