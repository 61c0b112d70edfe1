// From one payload codec to another.
#pragma once

#include "stator/base/bytes.hpp"
#include "stator/base/error.hpp"
#include "stator/codec/limits.hpp"
#include "stator/codec/payload_codec.hpp"

namespace stator::inline codec {

/// The value that `bytes` holds in `from`, written in `to`; the same bytes if the two are one.
/// Errors: those of ValueReader and ValueWriter, e.g. invalid_request "payload.binary" for bytes
/// that JSON cannot hold, "payload.codec" for raw.
Result<Bytes> transcode(
    const Bytes& bytes, PayloadCodec from, PayloadCodec to, DecodeLimits limits = {}
);

}  // namespace stator::inline codec
