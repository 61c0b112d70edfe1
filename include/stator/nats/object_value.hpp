// Values of a type as objects.
#pragma once

#include <string>
#include <utility>

#include "stator/codec/payload.hpp"
#include "stator/nats/object_store.hpp"

namespace stator::nats {

/// As ObjectStore::put. Errors: those of Payload<T>, too.
template <Encodable T>
Task<ObjectInfo> put_value(
    ObjectStore store, std::string name, T value, PayloadCodec codec = PayloadCodec::msgpack
) {
    auto content = Payload<T>::encode(value, codec);
    if (!content) throw content.error().with_context("the object " + name);
    co_return co_await store.put(std::move(name), std::move(*content));
}

/// As ObjectStore::get, of what was put with the same codec. Errors: those of Payload<T>, too.
template <Decodable T>
Task<T> get_value(ObjectStore store, std::string name, PayloadCodec codec = PayloadCodec::msgpack) {
    const auto content = co_await store.get(name);
    auto value = Payload<T>::decode(content, codec);
    if (!value) throw value.error().with_context("the object " + name);
    co_return std::move(*value);
}

}  // namespace stator::nats
