// What log lines look like.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include <spdlog/formatter.h>

#include "stator/observe/span.hpp"

namespace stator::observe {

/// `text` on one line and in UTF-8: control characters become \xNN, what is not UTF-8 becomes
/// U+FFFD.
std::string one_line(std::string_view text);

/// What is put behind a message, which is one line, so that JSON lines show its request.
std::string with_span(const Span& span);

/// "2026-11-22T03:01:59.123456Z  INFO stator::worker: ready"
std::unique_ptr<spdlog::formatter> readable_lines(bool local_time, bool ansi);

/// {"time":"...","level":"INFO","file":"src/worker/worker.cpp","line":7,"target":"stator::worker",
/// "message":"ready"}, and the members of the line's span
std::unique_ptr<spdlog::formatter> json_lines(bool local_time);

}  // namespace stator::observe
