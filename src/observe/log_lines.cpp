#include "observe/log_lines.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <ctime>
#include <iterator>
#include <utility>

#include <spdlog/details/log_msg.h>

#include "stator/codec/utf8.hpp"
#include "stator/codec/value_writer.hpp"

namespace stator::observe {

namespace {

struct Style {
    std::string_view name;
    std::string_view color;
};

// In the order of spdlog's levels.
constexpr std::array<Style, 7> styles{{
    {"TRACE", "\x1b[35m"},
    {"DEBUG", "\x1b[34m"},
    {"INFO", "\x1b[32m"},
    {"WARN", "\x1b[33m"},
    {"ERROR", "\x1b[31m"},
    {"ERROR", "\x1b[31m"},
    {"OFF", ""},
}};
constexpr std::string_view no_color = "\x1b[0m";

constexpr const Style& style_of(spdlog::level::level_enum level) noexcept {
    return styles[static_cast<std::size_t>(level) % styles.size()];
}

std::string_view view_of(spdlog::string_view_t text) noexcept { return {text.data(), text.size()}; }

/// RFC 3339 with microseconds. The part down to the second is kept while the second lasts.
class Timestamp {
public:
    explicit Timestamp(bool local) noexcept : local_{local} {}

    std::string text(spdlog::log_clock::time_point when) {
        const auto since =
            std::chrono::duration_cast<std::chrono::microseconds>(when.time_since_epoch());
        const auto second = std::chrono::floor<std::chrono::seconds>(since);
        if (second.count() != second_) refresh(second.count());
        return fmt::format("{}.{:06}{}", until_second_, (since - second).count(), zone_);
    }

private:
    void refresh(std::time_t second) {
        std::tm parts{};
        if (local_) {
            ::localtime_r(&second, &parts);
        } else {
            ::gmtime_r(&second, &parts);
        }
        std::array<char, 32> buffer{};
        until_second_.assign(
            buffer.data(), std::strftime(buffer.data(), buffer.size(), "%Y-%m-%dT%H:%M:%S", &parts)
        );
        const auto minutes = std::abs(parts.tm_gmtoff) / 60;
        zone_ =
            local_
                ? fmt::format(
                      "{}{:02}:{:02}", parts.tm_gmtoff < 0 ? '-' : '+', minutes / 60, minutes % 60
                  )
                : "Z";
        second_ = second;
    }

    bool local_;
    std::time_t second_ = -1;
    std::string until_second_;
    std::string zone_;
};

/// The message and, of a line with a span, its members.
struct Parts {
    std::string_view message;
    std::string_view members;
};
Parts parts_of(const spdlog::details::log_msg& line) noexcept {
    const auto all = view_of(line.payload);
    const auto end = all.find('\n');
    if (end == all.npos) return {all, {}};
    return {all.substr(0, end), all.substr(end + 1)};
}

/// Without the folder that the source tree happened to lie in.
std::string_view shown_file(std::string_view path) noexcept {
    for (const std::string_view folder : {"/src/", "/include/", "/examples/", "/tests/"}) {
        const auto at = path.rfind(folder);
        if (at != path.npos) return path.substr(at + 1);
    }
    return path;
}

class ReadableLines final : public spdlog::formatter {
public:
    ReadableLines(bool local_time, bool ansi) noexcept
        : local_time_{local_time}, ansi_{ansi}, time_{local_time} {}

    void format(const spdlog::details::log_msg& line, spdlog::memory_buf_t& out) override {
        const auto& style = style_of(line.level);
        const auto begin = ansi_ ? style.color : std::string_view{};
        const auto end = ansi_ ? no_color : std::string_view{};
        fmt::format_to(
            std::back_inserter(out),
            "{} {}{:>5}{} {}: {}\n",
            time_.text(line.time),
            begin,
            style.name,
            end,
            view_of(line.logger_name),
            parts_of(line).message
        );
    }
    std::unique_ptr<formatter> clone() const override {
        return std::make_unique<ReadableLines>(local_time_, ansi_);
    }

private:
    bool local_time_;
    bool ansi_;
    Timestamp time_;
};

class JsonLines final : public spdlog::formatter {
public:
    explicit JsonLines(bool local_time) noexcept : local_time_{local_time}, time_{local_time} {}

    void format(const spdlog::details::log_msg& line, spdlog::memory_buf_t& out) override {
        const auto parts = parts_of(line);
        ValueWriter writer{PayloadCodec::json, line.payload.size() + 128};
        writer.begin_map(line.source.empty() ? 4 : 6);
        writer.key("time");
        writer.string(time_.text(line.time));
        writer.key("level");
        writer.string(style_of(line.level).name);
        if (!line.source.empty()) {
            writer.key("file");
            writer.string(shown_file(line.source.filename));
            writer.key("line");
            writer.integer(line.source.line);
        }
        writer.key("target");
        writer.string(view_of(line.logger_name));
        writer.key("message");
        writer.string(parts.message);
        writer.end_map();
        const auto text = writer.finish();
        if (!text) return;  // cannot happen: one_line made the texts UTF-8
        auto object = text->view();
        if (!parts.members.empty()) {
            object.remove_suffix(1);
            out.append(object);
            out.push_back(',');
            out.append(parts.members);
            object = "}";
        }
        out.append(object);
        out.push_back('\n');
    }
    std::unique_ptr<formatter> clone() const override {
        return std::make_unique<JsonLines>(local_time_);
    }

private:
    bool local_time_;
    Timestamp time_;
};

bool is_plain(std::string_view text) noexcept {
    for (const char letter : text) {
        const auto byte = static_cast<unsigned char>(letter);
        if (byte < 0x20 || byte == 0x7f) return false;
    }
    return is_utf8(text);
}

/// Bytes of the well-formed character that `text` starts with; 0 if it starts with none.
std::size_t character_size(std::string_view text) noexcept {
    for (std::size_t size = 1; size <= 4 && size <= text.size(); ++size) {
        if (is_utf8(text.substr(0, size))) return size;
    }
    return 0;
}

}  // namespace

std::string one_line(std::string_view text) {
    if (is_plain(text)) return std::string{text};
    std::string line;
    while (!text.empty()) {
        const auto size = character_size(text);
        const auto byte = static_cast<unsigned char>(text.front());
        if (size == 0) {
            line.append("\xef\xbf\xbd");
        } else if (byte < 0x20 || byte == 0x7f) {
            fmt::format_to(std::back_inserter(line), "\\x{:02x}", byte);
        } else {
            line.append(text.substr(0, size));
        }
        text.remove_prefix(std::max<std::size_t>(size, 1));
    }
    return line;
}

std::string with_span(const Span& span) { return '\n' + json_members(span); }

std::unique_ptr<spdlog::formatter> readable_lines(bool local_time, bool ansi) {
    return std::make_unique<ReadableLines>(local_time, ansi);
}

std::unique_ptr<spdlog::formatter> json_lines(bool local_time) {
    return std::make_unique<JsonLines>(local_time);
}

}  // namespace stator::observe
