#include "tests/interop/peer_report.hpp"

#include <chrono>
#include <cstdio>
#include <string>

#include <nlohmann/json.hpp>

namespace stator::interop {

void say(std::string_view event, const Document& fields) {
    // Of this clock all processes of a machine see the same.
    const auto now = std::chrono::steady_clock::now().time_since_epoch();
    Document line{{"event", event}, {"t", std::chrono::duration<double>{now}.count()}};
    line.update(fields);
    auto text = encode_json(line);
    if (!text) throw text.error().with_context("reporting what was seen");
    *text += '\n';
    std::fwrite(text->data(), 1, text->size(), stdout);
    std::fflush(stdout);
}

}  // namespace stator::interop
