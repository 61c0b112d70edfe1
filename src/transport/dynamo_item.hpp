// The envelope of an item of Dynamo's response plane.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "stator/base/bytes.hpp"
#include "stator/base/error.hpp"
#include "stator/codec/payload_codec.hpp"
#include "transport/dynamo_error.hpp"

namespace stator::transport::dynamo {

/// What is put into the envelope: a value, as `{"data":{"data":value},"complete_final":b}`, or the
/// annotated object itself, as `{"data":object,"complete_final":b}`.
enum class ItemForm : std::uint8_t { value, annotated };

/// What stands before and behind it.
std::string_view item_head(PayloadCodec codec, ItemForm form = ItemForm::value) noexcept;
std::string_view item_tail(PayloadCodec codec, bool last, ItemForm form = ItemForm::value) noexcept;
/// `{"complete_final":true}`
std::string_view final_item(PayloadCodec codec) noexcept;

/// What an item may say besides its value.
struct ItemNotes {
    std::optional<std::string> id;
    std::optional<std::string> event;
    std::vector<std::string> comment;
    std::optional<ErrorObject> error;
};

/// One body of a response stream.
struct Item {
    /// The value, still encoded: a slice of the body. Empty: there is none (a null is not empty).
    Bytes data;
    /// Whether there is anything in the envelope; if not, and it is not the last, the original
    /// calls it an empty response.
    bool present = false;
    bool last = false;                 ///< `complete_final`
    std::unique_ptr<ItemNotes> notes;  ///< null: only the value

    /// The error that the item stands for: `event` says "error". Its object counts, else its
    /// comment, as older workers write it.
    std::optional<Error> error() const;
};

/// Reads one body. The keys may be in any order, unknown ones are skipped. The value itself is
/// delimited and not checked: its decoder finds what is wrong with it. Errors: protocol
/// "dynamo.bad_item". Allocates nothing for the usual forms.
Result<Item> read_item(const Bytes& body, PayloadCodec codec);

/// The annotated object of a body that `read_item` has taken, still encoded; empty: there is none.
Bytes annotated_object(const Bytes& body, PayloadCodec codec);

/// A body that carries `error` as an item: what a handler's failure becomes. Never fails.
Bytes write_error_item(PayloadCodec codec, const Error& error);

}  // namespace stator::transport::dynamo
