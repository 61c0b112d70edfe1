// Annotated<T>: an item of an answer with what is said about it.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "stator/base/error.hpp"
#include "stator/codec/payload.hpp"

namespace stator::inline pipeline {

/// The original's closed list of error classes, e.g. "CapacityExhausted", for each of ours. It has
/// no class for `draining` and `disconnected`: both are "Unavailable" there.
std::string_view original_class(ErrorCode code) noexcept;
/// The reverse; nothing for an unknown name. "RateLimited" is `overloaded`, "UnsupportedMedia"
/// `invalid_request`.
std::optional<ErrorCode> error_code_of_class(std::string_view name) noexcept;

/// Data, or an error, or a remark beside the data: all fields are optional and absent ones are not
/// written. An item whose `event` is "error" is an error: `error` tells which, or else `comment`
/// does, as older peers have it. A value.
template <class T>
struct Annotated {
    std::optional<T> data{};
    std::optional<std::string> id{};
    std::optional<std::string> event{};
    std::vector<std::string> comment{};
    std::optional<Error> error{};

    static Annotated from_data(T data) { return {.data = std::move(data)}; }
    static Annotated from_error(const Error& error) {
        return {.event = "error", .comment = {error.message()}, .error = error};
    }
    /// A remark: an event of that name with that text.
    static Annotated from_annotation(std::string name, std::string text) {
        return {.event = std::move(name), .comment = {std::move(text)}};
    }

    bool is_error() const { return event == "error"; }
    /// The error that the item is, if it is one.
    Result<void> ok() const {
        if (!is_error()) return {};
        return std::unexpected{error ? *error : from_comment()};
    }
    /// The data (none in a remark), or the error.
    Result<std::optional<T>> into_result() && {
        if (auto good = ok(); !good) return std::unexpected{std::move(good.error())};
        return std::move(data);
    }

    /// The same about `other`.
    template <class U>
    Annotated<U> transfer(std::optional<U> other) && {
        return {
            std::move(other), std::move(id), std::move(event), std::move(comment), std::move(error)
        };
    }
    /// The same about `function(data)`, where there is data.
    template <class F>
    auto map_data(F function) && {
        using U = std::remove_cvref_t<std::invoke_result_t<F&, T>>;
        std::optional<U> other;
        if (data) other.emplace(function(std::move(*data)));
        return std::move(*this).template transfer<U>(std::move(other));
    }

private:
    Error from_comment() const {
        std::string text;
        for (const auto& line : comment) {
            if (!text.empty()) text += "; ";
            text += line;
        }
        return Error{ErrorCode::internal, "annotated.error", text.empty() ? "an error" : text};
    }

public:
    friend bool operator==(const Annotated& a, const Annotated& b)
        requires requires(const T& x) { x == x; }
    {
        const auto text = [](const std::optional<Error>& any) {
            return any ? std::string{any->what()} : std::string{};
        };
        return a.data == b.data && a.id == b.id && a.event == b.event && a.comment == b.comment &&
               text(a.error) == text(b.error);
    }
};

/// Whether T is an Annotated of something.
template <class T>
inline constexpr bool is_annotated = false;
template <class T>
inline constexpr bool is_annotated<Annotated<T>> = true;

namespace detail {

void write_error(ValueWriter& out, const Error& error);
Result<Error> read_error(ValueReader& in);
Result<std::vector<std::string>> read_lines(ValueReader& in);

}  // namespace detail

}  // namespace stator::inline pipeline

namespace stator::inline codec {

/// {"data": .., "id": "..", "event": "..", "comment": [".."], "error": {..}}, absent fields left
/// out; unknown keys are skipped. The error is an error object of the original (docs/protocol/
/// dynamo-tcp.md, section 5): code, message and detail survive.
template <class T>
struct PayloadValue<Annotated<T>> {
    static void write(ValueWriter& out, const Annotated<T>& item)
        requires WritableValue<T>
    {
        const auto entries = static_cast<std::size_t>(item.data.has_value()) +
                             static_cast<std::size_t>(item.id.has_value()) +
                             static_cast<std::size_t>(item.event.has_value()) +
                             static_cast<std::size_t>(!item.comment.empty()) +
                             static_cast<std::size_t>(item.error.has_value());
        out.begin_map(entries);
        if (item.data) {
            out.key("data");
            PayloadValue<T>::write(out, *item.data);
        }
        if (item.id) {
            out.key("id");
            out.string(*item.id);
        }
        if (item.event) {
            out.key("event");
            out.string(*item.event);
        }
        if (!item.comment.empty()) {
            out.key("comment");
            out.begin_array(item.comment.size());
            for (const auto& line : item.comment) out.string(line);
            out.end_array();
        }
        if (item.error) {
            out.key("error");
            pipeline::detail::write_error(out, *item.error);
        }
        out.end_map();
    }

    static Result<Annotated<T>> read(ValueReader& in)
        requires ReadableValue<T>
    {
        Annotated<T> item;
        if (auto map = in.begin_map(); !map) return std::unexpected{std::move(map.error())};
        for (;;) {
            auto key = in.next_key();
            if (!key) return std::unexpected{std::move(key.error())};
            if (!*key) return item;
            if (auto read = read_field(in, **key, item); !read)
                return std::unexpected{std::move(read.error())};
        }
    }

private:
    template <class>
    struct IsOptional : std::false_type {};
    template <class U>
    struct IsOptional<std::optional<U>> : std::true_type {};
    static constexpr bool nullable = IsOptional<T>::value || std::same_as<T, std::monostate>;

    template <class Value, class Read>
    static Result<void> into(std::optional<Value>& field, Read read) {
        auto value = read();
        if (!value) return std::unexpected{std::move(value.error())};
        field.emplace(std::move(*value));
        return {};
    }

    static Result<void> read_field(ValueReader& in, std::string_view key, Annotated<T>& item) {
        const auto kind = in.peek();
        if (!kind) return std::unexpected{kind.error()};
        // Null is absent, except where T can be null.
        if (*kind == ValueKind::null && !(key == "data" && nullable)) return in.null();
        if (key == "data") {
            return into(item.data, [&] { return PayloadValue<T>::read(in); });
        }
        if (key == "id") return into(item.id, [&] { return in.string(); });
        if (key == "event") return into(item.event, [&] { return in.string(); });
        if (key == "error")
            return into(item.error, [&] { return pipeline::detail::read_error(in); });
        if (key != "comment") return in.skip();
        auto lines = pipeline::detail::read_lines(in);
        if (!lines) return std::unexpected{std::move(lines.error())};
        item.comment = std::move(*lines);
        return {};
    }
};

}  // namespace stator::inline codec
