// The only source that includes Beast.
#include "http/message_reader.hpp"

#include <string>

#include <boost/asio/buffer.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/fields.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <fmt/format.h>

namespace stator::http {

namespace beast = boost::beast::http;
using ErrorCodeOf = boost::system::error_code;

namespace {

std::string_view view_of(boost::beast::string_view text) noexcept {
    return {text.data(), text.size()};
}

std::unexpected<Error> failed(const ErrorCodeOf& code) {
    if (code == beast::error::header_limit || code == beast::error::buffer_overflow)
        return fail(
            ErrorCode::payload_too_large, "http.header_too_large", "the header is too large"
        );
    if (code == beast::error::body_limit)
        return fail(ErrorCode::payload_too_large, "http.body_too_large", "the body is too large");
    return fail(
        ErrorCode::protocol, "http.malformed", fmt::format("no HTTP message: {}", code.message())
    );
}

Method method_of(beast::verb verb) noexcept {
    switch (verb) {
        case beast::verb::get:
            return Method::get;
        case beast::verb::head:
            return Method::head;
        case beast::verb::post:
            return Method::post;
        default:
            return Method::other;
    }
}

template <class Message>
Fields fields_of(const Message& message) {
    Fields fields;
    for (const auto& field : message)
        fields.emplace_back(view_of(field.name_string()), view_of(field.value()));
    return fields;
}

/// A parser and the bytes that it has not taken yet.
template <class Parser>
struct Input {
    MessageLimits limits;
    std::string bytes;
    std::unique_ptr<Parser> parser;

    Parser& begin() {
        parser = std::make_unique<Parser>();
        parser->header_limit(limits.header);
        parser->body_limit(limits.body);
        parser->eager(true);
        return *parser;
    }
    /// True once the message is complete.
    Result<bool> advance() {
        if (!parser) begin();
        // The parser asks for more by taking nothing, so it sees a header again from its beginning.
        while (!parser->is_done() && !bytes.empty() && !too_short_for_chunks()) {
            ErrorCodeOf code;
            const auto taken = parser->put(boost::asio::buffer(bytes), code);
            bytes.erase(0, taken);
            if (code == beast::error::need_more) break;
            if (code) return failed(code);
        }
        return parser->is_done();
    }
    /// No message of chunks ends within fewer bytes than its last one has; Beast asserts that it is
    /// never asked about the last chunk with fewer.
    bool too_short_for_chunks() const {
        constexpr std::size_t last_chunk = 5;  // "0\r\n\r\n"
        return bytes.size() < last_chunk && parser->is_header_done() && parser->chunked();
    }
};

}  // namespace

struct RequestReader::State : Input<beast::request_parser<beast::string_body>> {
    bool asked_to_continue = false;
};

RequestReader::RequestReader(MessageLimits limits) : state_{std::make_unique<State>()} {
    state_->limits = limits;
}
RequestReader::~RequestReader() = default;

void RequestReader::feed(std::string_view bytes) { state_->bytes.append(bytes); }

bool RequestReader::between_requests() const noexcept {
    return state_->bytes.empty() && !state_->parser;
}

Result<std::optional<ReceivedRequest>> RequestReader::poll() {
    if (between_requests()) return std::nullopt;
    const auto complete = state_->advance();
    if (!complete) return std::unexpected{complete.error()};
    if (!*complete) return std::nullopt;
    auto message = state_->parser->release();
    state_->parser.reset();
    state_->asked_to_continue = false;
    return ReceivedRequest{
        .request =
            {.method = method_of(message.method()),
             .target = std::string{view_of(message.target())},
             .fields = fields_of(message),
             .body = std::move(message.body())},
        .keep_alive = message.keep_alive(),
    };
}

bool RequestReader::asks_to_continue() {
    const auto& parser = state_->parser;
    if (!parser || !parser->is_header_done() || parser->is_done() || state_->asked_to_continue)
        return false;
    if (!boost::beast::iequals(parser->get()[beast::field::expect], "100-continue")) return false;
    return state_->asked_to_continue = true;
}

struct ResponseReader::State : Input<beast::response_parser<beast::string_body>> {
    Method to = Method::get;
    bool keep_alive = false;

    void begin_answer() {
        begin();
        if (to == Method::head) parser->skip(true);
    }
    Response take() {
        auto message = parser->release();
        keep_alive = message.keep_alive();
        return Response{
            .status = message.result_int(),
            .content_type = std::string{view_of(message[beast::field::content_type])},
            .body = std::move(message.body()),
            .fields = fields_of(message),
        };
    }
};

ResponseReader::ResponseReader(Method to, MessageLimits limits)
    : state_{std::make_unique<State>()} {
    state_->limits = limits;
    state_->to = to;
    state_->begin_answer();
}
ResponseReader::~ResponseReader() = default;

void ResponseReader::feed(std::string_view bytes) { state_->bytes.append(bytes); }

Result<std::optional<Response>> ResponseReader::poll() {
    for (;;) {
        const auto complete = state_->advance();
        if (!complete) return std::unexpected{complete.error()};
        if (!*complete) return std::nullopt;
        auto response = state_->take();
        if (response.status >= 200) return response;
        state_->begin_answer();
    }
}

Result<Response> ResponseReader::finish() {
    auto& parser = *state_->parser;
    ErrorCodeOf code;
    if (!parser.got_some()) {
        return fail(ErrorCode::disconnected, "http.disconnected", "closed without an answer");
    }
    parser.put_eof(code);
    if (code == beast::error::partial_message) {
        return fail(ErrorCode::disconnected, "http.disconnected", "closed within the answer");
    }
    if (code) return failed(code);
    auto response = state_->take();
    state_->keep_alive = false;
    return response;
}

bool ResponseReader::keep_alive() const noexcept { return state_->keep_alive; }

}  // namespace stator::http
