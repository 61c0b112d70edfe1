// How the record of an object is written: subjects, JSON, digests. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "stator/nats/object_store.hpp"

namespace stator::nats {

std::string object_stream(std::string_view bucket);                         // OBJ_bucket
std::string chunk_subject(std::string_view bucket, std::string_view nuid);  // $O.bucket.C.nuid
std::string object_record_subject(std::string_view bucket, std::string_view name);  // .M.base64url
/// Of all records of a bucket.
std::string record_pattern(std::string_view bucket);

/// "SHA-256=" and base64 of the 32 bytes.
std::string digest_text(std::string_view sha256);

/// Errors: invalid_request "nats.object_name".
Result<void> check_object_name(std::string_view name);

/// JSON. The name must have been checked.
Bytes record_text(const ObjectInfo& info);
/// `stored`: when the server has got it. Errors: protocol "nats.object_record".
Result<ObjectInfo> read_record(std::string_view text, std::string stored);

/// Nanoseconds since 1970 in the form of RFC 3339, in UTC.
std::string time_text(std::int64_t nanoseconds);
/// A time of the server, which leaves zeros at the end out, with nine digits behind the dot as
/// `time_text` has them: times in UTC compare as text then. Any other text stays as it is.
std::string whole_time_text(std::string time);

}  // namespace stator::nats
