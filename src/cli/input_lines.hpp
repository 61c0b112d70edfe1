// The lines of a file or of stdin as the items of a request.
#pragma once

#include <string>

#include "stator/base/bytes.hpp"
#include "stator/codec/limits.hpp"
#include "stator/runtime/offload.hpp"
#include "stator/runtime/stream.hpp"

namespace stator::cli {

/// Whether `name` ("-": stdin) can be read. Errors: invalid_request "cli.input".
Result<void> check_input_file(const std::string& name);

/// Each line is a JSON value and becomes an item in MessagePack; lines without one are skipped.
/// Reads as it is pulled, and never blocks a loop. Errors (thrown): invalid_request "cli.input"
/// naming the line; payload_too_large for one above the limit. Cancel safety: throws `cancelled`.
Stream<Bytes> input_items(std::string name, DecodeLimits limits, BlockingPool* pool);

}  // namespace stator::cli
