// How keys are written as subjects of NATS, and read back.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace stator::store::jetstream {

/// "$KV.stator.v1.instances.ns.comp.1a2b" of "v1/instances/ns/comp/1a2b": parts become parts;
/// letters, digits, "-" and "_" stay; any other byte is "=" and two hex digits in capitals, so that
/// each key has one subject and each subject at most one key.
std::string subject_of(std::string_view bucket, std::string_view key);
/// Nothing for a subject that no key has.
std::optional<std::string> key_of(std::string_view bucket, std::string_view subject);
/// The narrowest pattern for all keys that begin so; there may be others below it.
std::string pattern_of(std::string_view bucket, std::string_view prefix);

}  // namespace stator::store::jetstream
