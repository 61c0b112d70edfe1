#include "transport/dynamo_stream.hpp"

#include <array>
#include <cstddef>
#include <utility>

#include <fmt/format.h>

#include "stator/base/text.hpp"
#include "stator/codec/value_writer.hpp"
#include "stator/transport/mux_error.hpp"
#include "transport/dynamo_fields.hpp"

namespace stator::transport::dynamo {
namespace {

using namespace std::string_view_literals;

constexpr std::array words{R"("sentinel")"sv, R"("stop")"sv, R"("kill")"sv};

Result<void> read_failure(ValueReader& in, std::size_t field, Prologue& prologue) {
    const auto null = take_null(in);
    if (!null) return std::unexpected{null.error()};
    if (*null) return {};
    if (field == 0) return put_into(prologue.failure, in.string());
    return put_into(prologue.typed, read_error(in));
}

}  // namespace

Result<Handshake> read_handshake(const Bytes& header) {
    constexpr std::string_view detail = "dynamo.bad_handshake";
    constexpr std::array names{"subject"sv, "stream_type"sv};
    Handshake handshake;
    std::string type;
    const std::array<std::string*, 2> to{&handshake.subject, &type};
    ValueReader in{header, PayloadCodec::json};
    auto good =
        read_fields(in, names, [&](std::size_t i) { return put_into(*to[i], in.string()); });
    if (good) good = in.finish();
    if (!good) return bad(detail, good.error());
    const auto known = stream_type_from_name(type);
    if (!known || handshake.subject.empty()) {
        return fail(
            ErrorCode::protocol,
            std::string{detail},
            fmt::format(
                "subject {}, stream type {}", quoted_text(handshake.subject), quoted_text(type)
            )
        );
    }
    handshake.stream_type = *known;
    return handshake;
}

void put_handshake(Output& out, std::string_view subject, StreamType type) {
    ValueWriter json{PayloadCodec::json, 96};
    json.begin_map(2);
    json.key("subject");
    json.string(subject);
    json.key("stream_type");
    json.string(to_string(type));
    json.end_map();
    // A subject comes out of a control header, which holds text only.
    if (const auto text = json.finish()) put_message(out, text->view(), {});
}

std::optional<Error> Prologue::error() const {
    if (!failure) return std::nullopt;
    Error error{
        ErrorCode::unavailable,
        "dynamo.prologue",
        fmt::format("the worker failed before its answer began: {}", mux::clean_text(*failure))
    };
    if (!typed) return error;
    auto cause = to_error(*typed);
    if (cause.code() == ErrorCode::invalid_request) return cause;
    return error.with_cause(std::move(cause));
}

Result<Prologue> read_prologue(const Bytes& header) {
    constexpr std::array names{"error"sv, "typed_error"sv};
    Prologue prologue;
    ValueReader in{header, PayloadCodec::json};
    auto good =
        read_fields(in, names, [&](std::size_t i) { return read_failure(in, i, prologue); });
    if (good) good = in.finish();
    if (!good) return bad("dynamo.bad_prologue", good.error());
    return prologue;
}

void put_prologue(Output& out) { put_message(out, R"({"error":null})", {}); }

void put_failed_prologue(Output& out, const Error& error) {
    const auto object = to_object(error);
    ValueWriter json{PayloadCodec::json, 512};
    json.begin_map(2);
    json.key("error");
    json.string(object.message);
    json.key("typed_error");
    write_error(json, object);
    json.end_map();
    const auto text = json.finish();
    // to_object leaves nothing that cannot be written.
    put_message(out, text ? text->view() : R"({"error":""})"sv, {});
}

Result<Word> read_word(const Bytes& header) {
    for (std::size_t i = 0; i < words.size(); ++i) {
        if (header.view() == words[i]) return static_cast<Word>(i);
    }
    return fail(
        ErrorCode::protocol,
        "dynamo.bad_word",
        fmt::format("the header {} where a word is expected", quoted_text(header.view()))
    );
}

void put_word(Output& out, Word word) {
    put_message(out, words[static_cast<std::size_t>(word)], {});
}

}  // namespace stator::transport::dynamo
