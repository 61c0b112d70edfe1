#include "transport/dynamo_item.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <limits>
#include <utility>

#include "stator/codec/value_writer.hpp"
#include "stator/transport/mux_error.hpp"
#include "transport/dynamo_fields.hpp"

namespace stator::transport::dynamo {
namespace {

using namespace std::string_view_literals;

constexpr std::string_view bad_item = "dynamo.bad_item";
constexpr std::size_t max_comments = 64;

// As the original writes them: {"data":{"data":  ,"complete_final":b}
constexpr auto msgpack_head =
    "\x82\xa4"
    "data\x81\xa4"
    "data"sv;
constexpr auto msgpack_object_head =
    "\x82\xa4"
    "data"sv;
constexpr auto msgpack_more =
    "\xae"
    "complete_final\xc2"sv;
constexpr auto msgpack_last =
    "\xae"
    "complete_final\xc3"sv;
constexpr auto json_head = R"({"data":{"data":)"sv;
constexpr auto json_object_head = R"({"data":)"sv;
constexpr auto json_object_more = R"(,"complete_final":false})"sv;
constexpr auto json_object_last = R"(,"complete_final":true})"sv;
constexpr auto json_more = R"(},"complete_final":false})"sv;
constexpr auto json_last = R"(},"complete_final":true})"sv;

bool is_json(PayloadCodec codec) noexcept { return codec == PayloadCodec::json; }

Result<void> read_comment(ValueReader& in, std::vector<std::string>& to) {
    const auto null = take_null(in);
    if (!null) return std::unexpected{null.error()};
    if (*null) return {};
    if (auto good = in.begin_array(); !good) return std::unexpected{std::move(good).error()};
    for (;;) {
        const auto more = in.next_item();
        if (!more) return std::unexpected{more.error()};
        if (!*more) return {};
        auto line = in.string();
        if (!line) return std::unexpected{std::move(line).error()};
        if (to.size() < max_comments) to.push_back(std::move(*line));
    }
}

Result<void> read_text(ValueReader& in, std::optional<std::string>& to) {
    const auto null = take_null(in);
    if (!null) return std::unexpected{null.error()};
    if (*null) return {};
    return put_into(to, in.string());
}

Result<void> read_note(ValueReader& in, std::size_t field, ItemNotes& notes) {
    switch (field) {
        case 1:
            return read_text(in, notes.id);
        case 2:
            return read_text(in, notes.event);
        case 3:
            return read_comment(in, notes.comment);
        default:
            break;
    }
    const auto null = take_null(in);
    if (!null) return std::unexpected{null.error()};
    if (*null) return {};
    return put_into(notes.error, read_error(in));
}

/// The value of the outer `data`.
Result<void> read_annotated(ValueReader& in, Item& item) {
    constexpr std::array names{"data"sv, "id"sv, "event"sv, "comment"sv, "error"sv};
    const auto null = take_null(in);
    if (!null) return std::unexpected{null.error()};
    if (*null) return {};
    item.present = true;
    return read_fields(in, names, [&](std::size_t field) {
        if (field == 0) return put_into(item.data, in.raw());
        if (!item.notes) item.notes = std::make_unique<ItemNotes>();
        return read_note(in, field, *item.notes);
    });
}

Result<Item> read_any(const Bytes& body, PayloadCodec codec) {
    constexpr std::array names{"data"sv, "complete_final"sv};
    // Reading on costs no memory, so the size of the body is bound enough.
    constexpr auto any = std::numeric_limits<std::size_t>::max();
    ValueReader in{body, codec, {.max_size = any, .max_values = any}};
    Item item;
    bool told = false;
    auto good = read_fields(in, names, [&](std::size_t field) {
        if (field == 0) return read_annotated(in, item);
        told = true;
        return put_into(item.last, in.boolean());
    });
    if (good) good = in.finish();
    if (!good) return bad(bad_item, good.error());
    if (!told) return fail(ErrorCode::protocol, std::string{bad_item}, "no complete_final");
    return item;
}

/// Where the string ends whose first letter is at `at`; the end of the text if it does not.
std::size_t string_end(std::string_view text, std::size_t at) noexcept {
    while (at < text.size() && text[at] != '"') at += text[at] == '\\' ? 2 : 1;
    return std::min(at, text.size());
}

/// Whether `text` may be one JSON value, and cannot be more or less than one: nothing separates
/// values outside of its brackets and strings, and all of these are closed.
bool is_one_json_value(std::string_view text) noexcept {
    std::size_t depth = 0;
    for (std::size_t at = 0; at < text.size(); ++at) {
        switch (text[at]) {
            case '"':
                at = string_end(text, at + 1);
                if (at == text.size()) return false;
                break;
            case '{':
            case '[':
                ++depth;
                break;
            case '}':
            case ']':
                if (depth-- == 0) return false;
                break;
            case ',':
            case ':':
                if (depth == 0) return false;
                break;
            default:
                break;
        }
    }
    return depth == 0;
}

/// The form in which items nearly always come. MessagePack says in front how many entries a map
/// has, so that between the usual head and the usual tail there is one value or nonsense, which its
/// decoder finds out; in JSON the same must be seen.
std::optional<Item> read_usual(const Bytes& body, PayloadCodec codec) {
    const auto text = body.view();
    Item item;
    item.last = text == final_item(codec);
    if (item.last) return item;
    const auto head = item_head(codec);
    if (!text.starts_with(head)) return std::nullopt;
    item.last = text.ends_with(item_tail(codec, true));
    const auto tail = item_tail(codec, item.last);
    if (text.size() <= head.size() + tail.size() || !text.ends_with(tail)) return std::nullopt;
    const auto value = text.substr(head.size(), text.size() - head.size() - tail.size());
    if (is_json(codec) && !is_one_json_value(value)) return std::nullopt;
    item.data = body.slice(head.size(), value.size());
    item.present = true;
    return item;
}

std::string comment_text(const std::vector<std::string>& comment) {
    std::string text;
    for (const auto& line : comment) {
        if (!text.empty()) text += ' ';
        text += line;
    }
    return text;
}

void write_error_body(ValueWriter& out, const ErrorObject& object) {
    out.begin_map(2);
    out.key("data");
    out.begin_map(2);
    out.key("event");
    out.string("error");
    out.key("error");
    write_error(out, object);
    out.end_map();
    out.key("complete_final");
    out.boolean(false);
    out.end_map();
}

}  // namespace

std::string_view item_head(PayloadCodec codec, ItemForm form) noexcept {
    if (form == ItemForm::annotated) return is_json(codec) ? json_object_head : msgpack_object_head;
    return is_json(codec) ? json_head : msgpack_head;
}

std::string_view item_tail(PayloadCodec codec, bool last, ItemForm form) noexcept {
    if (!is_json(codec)) return last ? msgpack_last : msgpack_more;
    if (form == ItemForm::annotated) return last ? json_object_last : json_object_more;
    return last ? json_last : json_more;
}

std::string_view final_item(PayloadCodec codec) noexcept {
    if (is_json(codec)) return R"({"complete_final":true})";
    return "\x81\xae"
           "complete_final\xc3";
}

std::optional<Error> Item::error() const {
    if (!notes || notes->event != "error") return std::nullopt;
    if (const auto& object = notes->error) return to_error(*object);
    // Before there were objects, the text was all there was.
    return Error{
        ErrorCode::internal, "dynamo.error", mux::clean_text(comment_text(notes->comment))
    };
}

Result<Item> read_item(const Bytes& body, PayloadCodec codec) {
    if (auto item = read_usual(body, codec)) return std::move(*item);
    return read_any(body, codec);
}

Bytes annotated_object(const Bytes& body, PayloadCodec codec) {
    constexpr std::array names{"data"sv};
    constexpr auto any = std::numeric_limits<std::size_t>::max();
    ValueReader in{body, codec, {.max_size = any, .max_values = any}};
    Bytes object;
    const auto good = read_fields(in, names, [&](std::size_t) -> Result<void> {
        const auto kind = in.peek();
        if (!kind) return std::unexpected{kind.error()};
        if (*kind == ValueKind::null) return in.null();
        return put_into(object, in.raw());
    });
    return good ? std::move(object) : Bytes{};
}

Bytes write_error_item(PayloadCodec codec, const Error& error) {
    ValueWriter out{codec, 512};
    write_error_body(out, to_object(error));
    auto bytes = out.finish();
    // to_object leaves nothing that cannot be written.
    return bytes ? std::move(*bytes) : Bytes::of_static(final_item(codec));
}

}  // namespace stator::transport::dynamo
