// What a key looks like, the same for every backend.
#pragma once

#include <cstddef>
#include <string_view>

#include "stator/base/error.hpp"

namespace stator::store {

/// Bytes of the longest key that every backend but the file one accepts (there the limit is the
/// file name's 255 bytes after encoding).
inline constexpr std::size_t max_key_size = 1024;

/// A key is a path of at least three parts: the first two, lower-case letters, digits, "-" and "_",
/// are its bucket ("v1/instances"); the rest is free apart from control characters and empty parts.
struct SplitKey {
    std::string_view bucket;  ///< "v1/instances"
    std::string_view rest;    ///< "ns/comp/ep/1a2b"; for a prefix possibly empty
};

/// Fails with invalid_request, detail "store.key", naming what is wrong. Views into `key`.
Result<SplitKey> split_key(std::string_view key);
/// The same for the prefix of a list or a watch: a bucket, a "/", then the beginning of the rest
/// (plain text: end it with "/" to match whole parts).
Result<SplitKey> split_prefix(std::string_view prefix);

}  // namespace stator::store
