#include "http/message_text.hpp"

#include <iterator>

#include <fmt/format.h>

namespace stator::http {

namespace {

/// A line break in a value would begin another field.
std::string_view one_line(std::string_view value) noexcept {
    return value.substr(0, value.find_first_of("\r\n"));
}

void append_fields(std::string& text, const Fields& fields) {
    for (const auto& [name, value] : fields)
        fmt::format_to(std::back_inserter(text), "{}: {}\r\n", one_line(name), one_line(value));
}

}  // namespace

std::string text_of(const Response& response, Closing closing) {
    std::string text;
    text.reserve(response.body.size() + 256);
    fmt::format_to(
        std::back_inserter(text),
        "HTTP/1.1 {} {}\r\nContent-Length: {}\r\n",
        response.status,
        reason_of(response.status),
        response.body.size()
    );
    if (!response.content_type.empty())
        append_fields(text, {{"Content-Type", response.content_type}});
    append_fields(text, response.fields);
    // Said either way: clients of HTTP/1.0 that asked for it look for the answer.
    text += closing.close ? "Connection: close\r\n\r\n" : "Connection: keep-alive\r\n\r\n";
    if (!closing.head_only) text += response.body;
    return text;
}

std::string text_of(const Request& request, const std::string& host) {
    auto text = fmt::format(
        "{} {} HTTP/1.1\r\nHost: {}\r\n",
        to_string(request.method),
        one_line(request.target),
        one_line(host)
    );
    if (request.method == Method::post || !request.body.empty())
        fmt::format_to(std::back_inserter(text), "Content-Length: {}\r\n", request.body.size());
    append_fields(text, request.fields);
    text += "\r\n";
    text += request.body;
    return text;
}

}  // namespace stator::http
