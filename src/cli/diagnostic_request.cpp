#include "cli/diagnostic_request.hpp"

#include <array>
#include <chrono>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "stator/base/nearest.hpp"
#include "stator/base/text.hpp"
#include "stator/codec/json.hpp"
#include "stator/codec/payload_json.hpp"
#include "stator/codec/value_writer.hpp"

namespace stator::cli {

using namespace std::chrono_literals;

namespace {

constexpr std::uint64_t most_items = 1'000'000'000'000;
constexpr std::uint64_t largest_item = 1U << 30U;  // bytes; the plane's own limit is lower
constexpr std::uint64_t longest_delay = 24ULL * 3600 * 1000;  // ms
constexpr std::uint64_t longest_hold = 600ULL * 1000;         // ms
constexpr std::string_view pad_name = R"(,"pad":"")";

constexpr std::array<std::string_view, 8> fields{
    "items", "delay_ms", "pace_ms", "size", "fail_after", "text", "ignore_stop", "hold_ms"
};

std::unexpected<Error> refuse(std::string message) {
    return fail(ErrorCode::invalid_request, "diagnostic.request", std::move(message));
}

std::string with_article(std::string_view kind) {
    return fmt::format("{} {}", kind == "array" || kind == "object" ? "an" : "a", kind);
}

std::unexpected<Error> wrong_value(
    std::string_view field, std::string_view expected, const Document& found
) {
    const std::string shown =
        found.is_primitive() && !found.is_binary()
            ? quoted_text(found.dump(-1, ' ', false, Document::error_handler_t::replace))
            : with_article(found.type_name());
    return refuse(fmt::format("{} must be {}, not {}", field, expected, shown));
}

Result<std::uint64_t> whole_number(
    std::string_view field, const Document& value, std::uint64_t most
) {
    const bool fits = value.is_number_unsigned() && value.get<std::uint64_t>() <= most;
    if (!fits) return wrong_value(field, fmt::format("a whole number from 0 to {}", most), value);
    return value.get<std::uint64_t>();
}

/// Reads one field into the request.
Result<void> take(DiagnosticRequest& request, std::string_view field, const Document& value) {
    const auto number = [&](std::uint64_t most, auto store) -> Result<void> {
        const auto parsed = whole_number(field, value, most);
        if (!parsed) return std::unexpected{parsed.error()};
        store(*parsed);
        return {};
    };
    if (field == "items") return number(most_items, [&](auto n) { request.items = n; });
    if (field == "size") return number(largest_item, [&](auto n) { request.size = n; });
    if (field == "fail_after") return number(most_items, [&](auto n) { request.fail_after = n; });
    if (field == "delay_ms") {
        return number(longest_delay, [&](auto n) { request.delay = std::chrono::milliseconds{n}; });
    }
    if (field == "pace_ms") {
        return number(longest_delay, [&](auto n) { request.pace = std::chrono::milliseconds{n}; });
    }
    if (field == "hold_ms") {
        return number(longest_hold, [&](auto n) { request.hold = std::chrono::milliseconds{n}; });
    }
    if (field == "text") {
        if (!value.is_string()) return wrong_value(field, "a string", value);
        request.text = value.get<std::string>();
        return {};
    }
    if (field == "ignore_stop") {
        if (!value.is_boolean()) return wrong_value(field, "true or false", value);
        request.ignore_stop = value.get<bool>();
        return {};
    }
    std::string message = fmt::format("there is no field {}", quoted_text(field));
    if (const auto near = nearest(field, fields))
        message += fmt::format("; did you mean {}?", *near);
    return refuse(std::move(message));
}

std::size_t digits(std::uint64_t number) {
    std::size_t count = 1;
    for (; number > 9; number /= 10) ++count;
    return count;
}

Result<Bytes> encode(
    PayloadCodec codec,
    std::uint64_t index,
    std::string_view worker,
    std::optional<std::pair<std::string_view, std::string_view>> third,
    std::optional<std::string_view> pad
) {
    ValueWriter writer{codec, 64 + (third ? third->second.size() : 0) + (pad ? pad->size() : 0)};
    writer.begin_map(2U + (third ? 1U : 0U) + (pad ? 1U : 0U));
    writer.key("i");
    writer.unsigned_integer(index);
    writer.key("worker");
    writer.string(worker);
    if (third) {
        writer.key(third->first);
        writer.string(third->second);
    }
    if (pad) {
        writer.key("pad");
        writer.string(*pad);
    }
    writer.end_map();
    return writer.finish();
}

}  // namespace

Result<DiagnosticRequest> DiagnosticRequest::decode(const Bytes& bytes, PayloadCodec codec) {
    const auto document = Payload<Document>::decode(bytes, codec);
    if (!document) return std::unexpected{document.error().with_context("decoding the request")};
    if (!document->is_object()) {
        const auto kind = with_article(document->type_name());
        return refuse(fmt::format("the request must be an object, not {}", kind));
    }
    DiagnosticRequest request;
    for (const auto& [field, value] : document->items()) {
        if (auto good = take(request, field, value); !good) {
            return std::unexpected{std::move(good).error()};
        }
    }
    return request;
}

DiagnosticItems::DiagnosticItems(
    std::string worker, const DiagnosticRequest& request, PayloadCodec codec
)
    : worker_{std::move(worker)}, text_{request.text}, codec_{codec}, size_{request.size} {
    if (size_ == 0) return;
    std::optional<std::pair<std::string_view, std::string_view>> text;
    if (text_) text.emplace("text", *text_);
    const auto bare = encode(PayloadCodec::json, 0, worker_, text, std::nullopt);
    if (!bare) return;  // `item` fails in the same way
    bare_size_ = bare->size() - 1;
    if (size_ > bare_size_) pad_.assign(size_ - bare_size_, '.');
}

Result<Bytes> DiagnosticItems::item(std::uint64_t index) const {
    std::optional<std::pair<std::string_view, std::string_view>> text;
    if (text_) text.emplace("text", *text_);
    const auto without_pad = bare_size_ + digits(index);
    if (without_pad >= size_) return encode(codec_, index, worker_, text, std::nullopt);
    const auto missing = size_ - without_pad;
    const auto letters = missing > pad_name.size() ? missing - pad_name.size() : 0;
    return encode(codec_, index, worker_, text, std::string_view{pad_}.substr(0, letters));
}

Result<Bytes> DiagnosticItems::stopped(std::uint64_t index, std::string_view reason) const {
    return encode(
        codec_, index, worker_, std::pair{std::string_view{"stopped"}, reason}, std::nullopt
    );
}

}  // namespace stator::cli
