// Bytes to an HTTP server and to a client: whatever comes in and in whatever pieces, the same
// requests come out, or an error with a name; routes find or refuse each of them.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "http/message_reader.hpp"
#include "http/message_text.hpp"
#include "stator/http/routes.hpp"

namespace {

using namespace stator::http;

constexpr MessageLimits limits{.header = 4096, .body = 1024};

void require(bool holds) {
    if (!holds) std::abort();
}

stator::Task<Response> nobody(Request) { co_return Response{}; }

struct Outcome {
    std::vector<std::string> requests;
    std::string error;
    bool operator==(const Outcome&) const = default;
};

std::string text_of_request(const ReceivedRequest& received) {
    const auto& request = received.request;
    require(request.body.size() <= limits.body);
    auto text = std::string{to_string(request.method)} + " " + request.target + "\n" + request.body;
    for (const auto& [name, value] : request.fields) text += "\n" + name + ":" + value;
    return text + (received.keep_alive ? "+" : "-");
}

Outcome read_requests(std::string_view bytes, std::size_t piece) {
    RequestReader reader{limits};
    Outcome outcome;
    while (!bytes.empty()) {
        const auto part = bytes.substr(0, std::min(piece, bytes.size()));
        bytes.remove_prefix(part.size());
        reader.feed(part);
        for (;;) {
            const auto request = reader.poll();
            (void)reader.asks_to_continue();
            if (!request) {
                outcome.error = request.error().detail();
                require(outcome.error.starts_with("http."));
                return outcome;
            }
            if (!request->has_value()) break;
            outcome.requests.push_back(text_of_request(**request));
        }
    }
    return outcome;
}

void read_response(std::string_view bytes, Method to) {
    ResponseReader reader{to, limits};
    reader.feed(bytes);
    const auto response = reader.poll();
    if (!response || response->has_value()) return;
    (void)reader.finish();
}

void find_route(std::string_view bytes) {
    static const auto& routes = *new Routes{[] {
        Routes made;
        made.add(Method::get, "/a/{one}/b", nobody).add(Method::post, "/e/{rest...}", nobody);
        return made;
    }()};
    const Request request{.target = std::string{bytes}};
    for (const auto method : {Method::get, Method::head, Method::post, Method::other}) {
        const auto match = routes.find(method, request.path());
        if (!match) require(match.error().detail() == "http.escape");
    }
}

}  // namespace

// NOLINTNEXTLINE(readability-identifier-naming): libFuzzer calls it
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view bytes{reinterpret_cast<const char*>(data), size};
    const auto whole = read_requests(bytes, size + 1);
    const auto pieces = read_requests(bytes, 1 + size % 7);
    // A limit may be seen earlier in pieces; what came before it is the same.
    if (whole.error.empty()) require(whole == pieces || !pieces.error.empty());
    for (std::size_t i = 0; i < std::min(whole.requests.size(), pieces.requests.size()); ++i)
        require(whole.requests[i] == pieces.requests[i]);
    read_response(bytes, Method::get);
    read_response(bytes, Method::head);
    find_route(bytes.substr(0, 200));
    return 0;
}
