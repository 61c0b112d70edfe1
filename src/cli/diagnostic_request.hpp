// What the diagnostic endpoint can be asked for, and the items it answers with. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "stator/base/bytes.hpp"
#include "stator/base/clock.hpp"
#include "stator/base/error.hpp"
#include "stator/codec/payload_codec.hpp"

namespace stator::cli {

/// The fields of the request, with their defaults. docs/cli.md says what each does.
struct DiagnosticRequest {
    std::uint64_t items = 3;
    Duration delay{};                         ///< "delay_ms": before each item
    Duration pace{};                          ///< "pace_ms": item k comes k + 1 times that later
    std::uint64_t size = 0;                   ///< bytes of each item as JSON text, at least
    std::optional<std::uint64_t> fail_after;  ///< an error after that many items
    std::optional<std::string> text;          ///< sent back in every item
    bool ignore_stop = false;                 ///< goes on when it is asked to stop
    Duration hold{};                          ///< "hold_ms": keeps its loop busy, before item 1

    /// Strict: errors are invalid_request "diagnostic.request" naming the field, and the decoder's.
    static Result<DiagnosticRequest> decode(const Bytes& bytes, PayloadCodec codec);
};

/// Makes the items of one answer: {"i":0,"worker":"1a2b","text":"..","pad":".."}. `text` is there
/// if the request had one; `pad` if the item would be shorter than `size` (then it is `size` bytes
/// long, or up to 9 bytes longer, since a pad has at least its name).
class DiagnosticItems {
public:
    DiagnosticItems(std::string worker, const DiagnosticRequest& request, PayloadCodec codec);

    /// Errors: those of ValueWriter.
    Result<Bytes> item(std::uint64_t index) const;
    /// The last item of an answer that was asked to stop:
    /// {"i":k,"worker":"..","stopped":"shutdown"}.
    Result<Bytes> stopped(std::uint64_t index, std::string_view reason) const;

private:
    std::string worker_;
    std::optional<std::string> text_;
    PayloadCodec codec_;
    std::uint64_t size_;
    std::uint64_t bare_size_ = 0;  // of an item without pad and without its index
    std::string pad_;
};

}  // namespace stator::cli
