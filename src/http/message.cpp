#include "stator/http/message.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "stator/codec/payload_codec.hpp"
#include "stator/codec/value_writer.hpp"

namespace stator::http {

namespace {

char lower(char letter) noexcept {
    return letter >= 'A' && letter <= 'Z' ? static_cast<char>(letter - 'A' + 'a') : letter;
}

bool same_name(std::string_view a, std::string_view b) noexcept {
    return std::ranges::equal(a, b, [](char x, char y) { return lower(x) == lower(y); });
}

int hex_value(char digit) noexcept {
    if (digit >= '0' && digit <= '9') return digit - '0';
    const char letter = lower(digit);
    return letter >= 'a' && letter <= 'f' ? letter - 'a' + 10 : -1;
}

}  // namespace

std::string_view to_string(Method method) noexcept {
    switch (method) {
        case Method::get:
            return "GET";
        case Method::head:
            return "HEAD";
        case Method::post:
            return "POST";
        case Method::other:
            break;
    }
    return "other";
}

std::optional<std::string_view> find_field(const Fields& fields, std::string_view name) noexcept {
    const auto found = std::ranges::find_if(fields, [&](const auto& field) {
        return same_name(field.first, name);
    });
    if (found == fields.end()) return std::nullopt;
    return found->second;
}

std::string_view Request::path() const noexcept {
    std::string_view path = target;
    // A proxy sends the whole address: http://host/path.
    if (const auto scheme = path.find("://"); !path.starts_with('/') && scheme != path.npos) {
        const auto slash = path.find('/', scheme + 3);
        path = slash == path.npos ? std::string_view{"/"} : path.substr(slash);
    }
    return path.substr(0, path.find('?'));
}

std::string_view Request::query() const noexcept {
    const auto mark = target.find('?');
    return mark == target.npos ? std::string_view{} : std::string_view{target}.substr(mark + 1);
}

const std::string& Request::parameter(std::string_view name) const {
    for (const auto& [own, value] : parameters) {
        if (own == name) return value;
    }
    throw Error{
        ErrorCode::internal, "http.no_parameter", fmt::format("the route has no {{{}}}", name)
    };
}

Response Response::text(unsigned status, std::string body) {
    return {.status = status, .body = std::move(body)};
}

Response Response::json(unsigned status, std::string body) {
    return {.status = status, .content_type = "application/json", .body = std::move(body)};
}

Response Response::of(const Error& error) {
    ValueWriter writer{PayloadCodec::json, error.message().size() + 128};
    writer.begin_map(1);
    writer.key("error");
    writer.begin_map(3);
    writer.key("code");
    writer.string(to_string(error.code()));
    writer.key("detail");
    writer.string(error.detail());
    writer.key("message");
    writer.string(error.message());
    writer.end_map();
    writer.end_map();
    const auto text = writer.finish();
    if (!text) return Response::text(status_of(error.code()), std::string{to_string(error.code())});
    return json(status_of(error.code()), std::string{text->view()} + "\n");
}

std::string_view reason_of(unsigned status) noexcept {
    switch (status) {
        case 200:
            return "OK";
        case 202:
            return "Accepted";
        case 204:
            return "No Content";
        case 400:
            return "Bad Request";
        case 401:
            return "Unauthorized";
        case 403:
            return "Forbidden";
        case 404:
            return "Not Found";
        case 405:
            return "Method Not Allowed";
        case 408:
            return "Request Timeout";
        case 409:
            return "Conflict";
        case 413:
            return "Content Too Large";
        case 431:
            return "Request Header Fields Too Large";
        case 499:
            return "Client Closed Request";
        case 500:
            return "Internal Server Error";
        case 501:
            return "Not Implemented";
        case 502:
            return "Bad Gateway";
        case 503:
            return "Service Unavailable";
        case 504:
            return "Gateway Timeout";
        default:
            return "";
    }
}

unsigned status_of(ErrorCode code) noexcept {
    switch (code) {
        case ErrorCode::invalid_request:
        case ErrorCode::protocol:
            return 400;
        case ErrorCode::unauthenticated:
            return 401;
        case ErrorCode::permission_denied:
            return 403;
        case ErrorCode::not_found:
            return 404;
        case ErrorCode::already_exists:
            return 409;
        case ErrorCode::payload_too_large:
            return 413;
        case ErrorCode::overloaded:
        case ErrorCode::unavailable:
        case ErrorCode::draining:
            return 503;
        case ErrorCode::cancelled:
            return 499;
        case ErrorCode::deadline_exceeded:
            return 504;
        case ErrorCode::disconnected:
            return 502;
        case ErrorCode::unimplemented:
            return 501;
        case ErrorCode::internal:
            break;
    }
    return 500;
}

Result<std::string> percent_decoded(std::string_view text) {
    std::string decoded;
    decoded.reserve(text.size());
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] != '%') {
            decoded.push_back(text[i]);
            continue;
        }
        const int high = i + 2 < text.size() ? hex_value(text[i + 1]) : -1;
        const int low = i + 2 < text.size() ? hex_value(text[i + 2]) : -1;
        if (high < 0 || low < 0)
            return fail(ErrorCode::invalid_request, "http.escape", "a % without two hex digits");
        decoded.push_back(static_cast<char>(high * 16 + low));
        i += 2;
    }
    return decoded;
}

}  // namespace stator::http
